"""SQLite without a thread in between: a transaction or a look by key takes microseconds, the turn of a thread more.

A dialect for SQLAlchemy's async engine whose driver is Python's own `sqlite3`, called in the event loop. For statements
that may scan a table there is `aiosqlite`, whose thread keeps them from holding up everybody else.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Generator
from typing import Any

from sqlalchemy import URL, Pool, StaticPool
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util.concurrency import await_, in_greenlet

__all__ = ["DRIVER", "DirectEngine", "SQLiteDialect_direct", "begin_immediate"]

DRIVER = "sqlite+direct"
"""The driver's name in a URL."""

_PATIENCE = 10.0
"""Seconds that the lock of another process is waited for."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


class _AtOnce:
    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_AT_ONCE: Awaitable[None] = _AtOnce()


class _Cursor(sqlite3.Cursor):
    async def _async_soft_close(self) -> None:
        """Do nothing: SQLAlchemy's async layer closes the cursors of drivers that need to be awaited."""


class _Connection(sqlite3.Connection):
    def cursor(self, factory: type[sqlite3.Cursor] | None = None) -> sqlite3.Cursor:  # type: ignore[override]
        if in_greenlet():
            # SQLAlchemy takes a driver that never waits for one that was meant for its other engine.
            await_(_AT_ONCE)
        return super().cursor(factory or _Cursor)


class SQLiteDialect_direct(SQLiteDialect_pysqlite):  # noqa: N801 (the library's way to name dialects)
    """Python's `sqlite3` under the async engine; nothing here ever waits but for the lock of another process."""

    driver = "direct"
    is_async = True
    supports_statement_cache = True

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """Open the file; the loop's thread is the only one that uses it, but another may close it at the end."""
        return sqlite3.connect(*arguments, **{**options, "factory": _Connection, "check_same_thread": False})

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """Return the pool for a file, or the one connection that a database in memory has."""
        return AsyncAdaptedQueuePool if cls._is_url_file_db(url) else StaticPool


class _DirectConnection(AsyncConnection):
    async def __aexit__(self, *_: object) -> None:
        # The library closes in a task of its own, for drivers that can be cancelled while they wait.
        await self.close()


class DirectEngine(AsyncEngine):
    """An async engine for the dialect of this module."""

    _connection_cls = _DirectConnection


def begin_immediate(connection: sqlite3.Connection) -> None:
    """Begin to write. While another process writes the others of this one go on: it is waited for without SQLite."""
    deadline, pause = time.monotonic() + _PATIENCE, _FIRST_PAUSE
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                await_(asyncio.sleep(pause))
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(_PATIENCE * 1000)}")


registry.register("sqlite.direct", __name__, SQLiteDialect_direct.__name__)
