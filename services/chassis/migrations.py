"""Brings a service's database to its present schema, by Alembic."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib import import_module
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from contracts.errors import InternalError

from .database import make_engine
from .unit import reading

__all__ = ["alembic_config", "ensure_schema", "main", "newest_revision"]

_HERE = Path(__file__).parent
_URL = "SHUNTER_MIGRATION_URL"
"""The environment variable that hands the URL to the child; argv would show its password to everybody."""


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
        await engine.dispose()


async def ensure_schema(service: str, url: str) -> None:
    """Upgrade the database if it is behind. Alembic runs in a child: it is 15 MB that a service needs once."""
    if await _present_revision(url) == newest_revision(service):
        return
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, service, env={**os.environ, _URL: url}, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await child.communicate()
    if child.returncode != 0:
        raise InternalError(f"the database of {service} could not be upgraded: {stderr.decode()[-2000:]}")


def alembic_config(service: str, url: str) -> object:
    """Return Alembic's configuration for one service."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE / "alembic"))
    config.set_main_option("version_locations", str(_versions(service)))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    config.attributes["metadata"] = import_module(f"services.{service}.tables").METADATA
    return config


def main(service: str) -> None:
    """Upgrade the database that the environment names; `python -m services.chassis.migrations SERVICE`."""
    from alembic import command

    command.upgrade(alembic_config(service, os.environ[_URL]), "head")  # type: ignore[arg-type]


if __name__ == "__main__":
    main(sys.argv[1])
