"""Alembic's entry: runs the migrations of one service over its async engine."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, text

from services.chassis.database import close_engine, make_engine

_ONE_AT_A_TIME = 7_486_251_004
"""The lock that replicas of a service take in turn; on SQLite the write transaction is that lock."""


def _run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    context.configure(
        connection=connection,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


async def _main() -> None:
    engine = make_engine(context.config.attributes["url"])
    async with engine.begin() as connection:
        await connection.run_sync(_run)
    await close_engine(engine)


asyncio.run(_main())
