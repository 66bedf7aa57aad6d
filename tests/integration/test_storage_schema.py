"""The migrations make exactly the tables that the code speaks of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select

from contracts.model import now
from contracts.shelves import Amount
from services.chassis.database import close_engine, make_engine
from services.chassis.migrating import alembic_config
from services.chassis.migrations import ensure_schema
from services.storage.store import OpenedUpload, due_uploads
from services.storage.stored import Reason, StoredFile
from services.storage.superseded import due_superseded
from services.storage.tables import FILES, METADATA
from services.storage.usage import usage_of


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA))


@pytest.mark.own_stores("it is about SQLite")
async def test_the_migrated_schema_is_the_one_in_the_code(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'storage.db'}"
    await ensure_schema("storage", url)
    engine = make_engine(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await close_engine(engine)
    assert await asyncio.to_thread((tmp_path / "storage.db").exists)


async def _alembic(step: Callable[[Config, str], None], url: str, revision: str) -> None:
    """Go to a revision; in a thread, for Alembic runs a loop of its own."""
    await asyncio.to_thread(step, alembic_config("storage", url), revision)


@pytest.mark.own_stores("it is about SQLite")
async def test_what_an_older_version_kept_is_there_after_the_upgrade(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'storage.db'}"
    await _alembic(command.upgrade, url, "0002")
    engine = make_engine(url)
    content = "10, 'x', 'text/plain', NULL, '2026-01-01 00:00:00.000000'"
    async with engine.begin() as connection:
        for path in ("a", "b"):
            await connection.exec_driver_sql(f"INSERT INTO files VALUES ('ada', '{path}', 'ada/{path}', {content})")
        old = f"'ada/old', 'ada', 'a', {content}, '2026-01-02 00:00:00.000000', 'message'"
        await connection.exec_driver_sql(f"INSERT INTO superseded VALUES ({old})")
        await connection.exec_driver_sql("INSERT INTO uploads VALUES ('ada/new', 'id', '2026-01-02 00:00:00', 0)")
    await close_engine(engine)

    await _alembic(command.upgrade, url, "head")
    engine = make_engine(url)
    async with engine.connect() as connection:
        files = [StoredFile.from_row(row) for row in await connection.execute(select(FILES).order_by(FILES.c.path))]
        assert [(file.path, file.key, file.upload) for file in files] == [
            ("a", "ada/a", "ada/a"),
            ("b", "ada/b", "ada/b"),
        ]
        assert await usage_of(connection, "ada") == Amount(files=2, size=20)
        assert await due_superseded(connection, {Reason.PURGED: now()}, 10) == ["ada/old"]
        assert await due_uploads(connection, now(), 10) == [OpenedUpload("ada/new", "id")]
    await close_engine(engine)
    await _alembic(command.downgrade, url, "0002")
