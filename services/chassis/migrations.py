"""Brings a service's database to its present schema, by Alembic."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from contracts.errors import InternalError

from .database import MIGRATION_URL, close_engine, make_engine
from .unit import reading

__all__ = ["ensure_schema", "newest_revision"]

_HERE = Path(__file__).parent
_CHILD = "services.chassis.migrating"


def _versions(service: str) -> Path:
    return _HERE.parent / service / "migrations"


def newest_revision(service: str) -> str:
    """Return the revision that the code expects: the files are named after theirs, `0001_initial.py`."""
    return max(path.name.partition("_")[0] for path in _versions(service).glob("[0-9]*_*.py"))


async def _present_revision(url: str) -> str | None:
    engine = make_engine(url)
    try:
        async with engine.connect() as connection:
            await reading(connection)
            return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except DBAPIError:
        return None
    finally:
        await close_engine(engine)


async def ensure_schema(service: str, url: str) -> None:
    """Upgrade the database if it is behind. Alembic runs in a child: it is 15 MB that a service needs once."""
    if await _present_revision(url) == newest_revision(service):
        return
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", _CHILD, service, env={**os.environ, MIGRATION_URL: url}, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await child.communicate()
    if child.returncode != 0:
        raise InternalError(f"the database of {service} could not be upgraded: {stderr.decode()[-2000:]}")
