"""The engine of a service's own database, and the tables that every service has."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    event,
)
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from contracts.errors import UnavailableError

from .sqlite import DRIVER, DirectEngine, begin_immediate

__all__ = [
    "CONVENTION",
    "MIGRATION_URL",
    "READING",
    "SEQUENCE",
    "Moment",
    "add_chassis_tables",
    "close_engine",
    "is_sqlite",
    "make_engine",
    "make_scanner",
    "new_metadata",
]

READING = "shunter_reading"
"""The execution option of a connection that only reads: on SQLite it must not take the writer's lock."""

MIGRATION_URL = "SHUNTER_MIGRATION_URL"
"""The environment variable that hands a URL to whoever migrates; argv would show its password to everybody."""

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
"""The type of what a database numbers itself: SQLite does so for its own integers only."""

CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints, so that migrations can speak of them."""


class Moment(TypeDecorator[datetime]):
    """An aware moment; SQLite keeps it without zone, we keep it in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Write UTC."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read UTC."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


def new_metadata() -> MetaData:
    """Return metadata with our naming convention."""
    return MetaData(naming_convention=CONVENTION)


def add_chassis_tables(metadata: MetaData) -> tuple[Table, Table]:
    """Add the inbox (messages that were handled) and the outbox (what must be said)."""
    inbox = Table(
        "inbox",
        metadata,
        Column("message_id", String(128), primary_key=True),
        Column("handled_at", Moment, nullable=False, index=True),
    )
    outbox = Table(
        "outbox",
        metadata,
        Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        Column("id", String(128), nullable=False, unique=True),
        Column("sink", String(32), nullable=False),
        Column("subject", String(512), nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("created_at", Moment, nullable=False),
        Column("sent_at", Moment),
    )
    unsent = outbox.c.sent_at.is_(None)
    Index("ix_outbox_unsent", outbox.c.seq, sqlite_where=unsent, postgresql_where=unsent)
    return inbox, outbox


def _write_json(value: object) -> str:
    return orjson.dumps(value).decode()


_JSON: Any = {"json_serializer": _write_json, "json_deserializer": orjson.loads}
"""A fifth of the time that the standard library takes; every job has several such columns."""


_IN_USE = 2.0
"""Seconds that a connection may be in use after its service has stopped."""
_LOOK_EVERY = 0.01


async def close_engine(engine: AsyncEngine) -> None:
    """Close all connections, and for good: those in use when they come back, for which is waited a moment.

    Whoever asks for one from now on gets `UnavailableError`: nobody would close it.
    """
    event.listen(engine.sync_engine, "do_connect", _refuse)
    event.listen(pool := engine.pool, "checkin", _close)
    with suppress(TimeoutError):
        async with asyncio.timeout(_IN_USE):
            while isinstance(pool, QueuePool) and pool.checkedout():  # noqa: ASYNC110 (a pool tells nobody)
                await asyncio.sleep(_LOOK_EVERY)
    await engine.dispose()


def _refuse(*_about: object) -> None:
    raise UnavailableError("its service has stopped", retry_after=1.0)


def _close(_connection: object, record: ConnectionPoolEntry) -> None:
    record.close()


def is_sqlite(url: str) -> bool:
    """Say whether the database is a file of ours."""
    return make_url(url).get_backend_name() == "sqlite"


_PRAGMAS = (
    *("busy_timeout=10000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"),
    # A checkpoint waits for the disk while everybody waits for us: it comes after 16 MiB of changes, not after 4, and
    # then writes the pages once that all of them changed. As much may stay in memory.
    *("wal_autocheckpoint=4096", "cache_size=-16384"),
)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Our own BEGIN IMMEDIATE below; the driver's implicit transactions would start too late and deadlock.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get(READING) and options.get("isolation_level") != "AUTOCOMMIT":
        begin_immediate(connection.connection.dbapi_connection)  # type: ignore[arg-type]


def _roll_back(connection: Any, _record: Any, _error: BaseException | None) -> None:
    # A transaction that was cancelled in the middle: merely closing the connection would leave it open, and
    # everybody locked out, for as long as some traceback still holds a cursor.
    with suppress(Exception):
        connection.rollback()


def make_engine(url: str) -> AsyncEngine:
    """Return an engine: SQLite with WAL and one writer at a time, or PostgreSQL with a pool."""
    if not is_sqlite(url):
        return create_async_engine(url, pool_size=10, max_overflow=20, pool_pre_ping=True, **_JSON)
    if path := make_url(url).database:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = DirectEngine(create_async_engine(make_url(url).set(drivername=DRIVER), **_JSON).sync_engine)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    event.listen(engine.sync_engine, "invalidate", _roll_back)
    return engine


def make_scanner(engine: AsyncEngine) -> AsyncEngine:
    """Return an engine for statements that may read much: on SQLite a thread reads, so that the loop goes on."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return engine
    scanner = create_async_engine(engine.url.set(drivername="sqlite+aiosqlite"), pool_size=4, max_overflow=0, **_JSON)
    event.listen(scanner.sync_engine, "connect", _prepare_sqlite)
    return scanner
