"""The migrations make exactly the tables that the code speaks of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from services.chassis.database import close_engine, make_engine
from services.chassis.migrations import ensure_schema
from services.scheduler.tables import METADATA


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA))


@pytest.mark.own_stores("it is about SQLite")
async def test_the_migrated_schema_is_the_one_in_the_code(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'scheduler.db'}"
    await ensure_schema("scheduler", url)
    engine = make_engine(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await close_engine(engine)
    assert await asyncio.to_thread((tmp_path / "scheduler.db").exists)
