"""Databases that are at the present schema when a test begins: copies of one that was migrated once."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import text

from services.chassis.database import close_engine, make_engine
from services.chassis.migrations import ensure_schema, newest_revision

from .stores import Stores, stores

__all__ = ["bring_empty", "bring_schema", "database_url", "dump", "lose", "query", "restore", "url_in"]


def database_url(folder: Path, service: str) -> str:
    """Return where a service of a folder has its tables; empty for its own choice, a file there."""
    found = stores()
    return found.database_url(folder, service) if found else ""


def url_in(folder: Path) -> str:
    """Return where a test has tables of its own."""
    return database_url(folder, "chassis") or f"sqlite+aiosqlite:///{folder / 'x.db'}"


async def bring_empty(url: str) -> None:
    """Make the database of a URL, without tables; a file makes itself."""
    if found := _server(url):
        await found.bring_empty(url)


async def bring_schema(service: str, url: str) -> None:
    """Bring an empty database to the present schema: migrating takes a second, a copy none."""
    if found := _server(url):
        await found.bring_schema(service, url)
        return
    template = Path(tempfile.gettempdir()) / f"shunter-{service}-{newest_revision(service)}-{os.getpid()}.db"
    if not await asyncio.to_thread(template.exists):
        await ensure_schema(service, f"sqlite+aiosqlite:///{template}")
        atexit.register(template.unlink, missing_ok=True)
    await asyncio.to_thread(_copy_once, template, _file(url))


async def query(url: str, statement: str) -> Sequence[tuple[Any, ...]]:
    """Return what a database answers, beside the service whose it is."""
    engine = make_engine(url)
    try:
        async with engine.begin() as connection:
            found = await connection.execute(text(statement))
            return [tuple(row) for row in found] if found.returns_rows else []
    finally:
        await close_engine(engine)


async def lose(url: str) -> None:
    """Lose a database with all that is in it."""
    if found := _server(url):
        await found.lose(url)
        return
    for path in await asyncio.to_thread(lambda: list(_file(url).parent.glob(f"{_file(url).name}*"))):
        path.unlink()


async def dump(url: str) -> bytes:
    """Return a copy of a database that may be in use."""
    if found := _server(url):
        return await asyncio.to_thread(found.dump, url)
    with closing(sqlite3.connect(_file(url))) as one, closing(sqlite3.connect(":memory:")) as copy:
        one.backup(copy)
        return copy.serialize()


async def restore(url: str, dumped: bytes) -> None:
    """Make a database what it was when it was dumped."""
    if found := _server(url):
        await found.restore(url, dumped)
        return
    await lose(url)
    await asyncio.to_thread(_file(url).write_bytes, dumped)


def _server(url: str) -> Stores | None:
    return None if url.startswith("sqlite") else stores()


def _file(url: str) -> Path:
    return Path(url.partition("///")[2])


def _copy_once(template: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, target)
