"""The driver without a thread: transactions, looks, and the lock of another process."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.chassis.database import close_engine, make_engine, make_scanner
from services.chassis.unit import looker

pytestmark = pytest.mark.own_stores("it is about SQLite")


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    made = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
    async with made.begin() as connection:
        await connection.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"))
    yield made
    await close_engine(made)


async def _add(engine: AsyncEngine, name: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO things (name) VALUES (:name)"), {"name": name})


async def _names(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list((await connection.execute(text("SELECT name FROM things ORDER BY id"))).scalars())


async def test_what_is_committed_is_seen_by_looks_and_scans_and_what_failed_is_not(engine: AsyncEngine) -> None:
    scanner = make_scanner(engine)
    await _add(engine, "a")
    with pytest.raises(IntegrityError):
        await _add(engine, "a")
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO things (name) VALUES ('b')"))
        assert await _names(looker(engine)) == ["a"]
    assert await _names(looker(engine)) == await _names(scanner) == ["a", "b"]
    await close_engine(scanner)


async def test_a_cancelled_transaction_leaves_nothing_and_locks_nobody_out(engine: AsyncEngine) -> None:
    begun = asyncio.Event()

    async def write_and_wait() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO things (name) VALUES ('a')"))
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_and_wait())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _add(engine, "b")
    assert await _names(engine) == ["b"]


async def test_while_another_process_writes_the_loop_goes_on(engine: AsyncEngine, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(_add(engine, "a"))
    longest, until = 0.0, time.monotonic() + 0.3
    while time.monotonic() < until:
        before = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - before)
        assert await _names(looker(engine)) == []
    assert not writing.done()
    # Inside SQLite it would have waited for 10 s: whoever would commit is held up too.
    assert longest < 5
    other.execute("COMMIT")
    other.close()
    await writing
    assert await _names(engine) == ["a"]


async def test_the_disk_is_waited_for_after_16_mib_of_changes_and_not_before(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    log, mib = tmp_path / "x.db-wal", 2**20
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO things (id, name) VALUES (0, '')"))
    largest = 0
    for number in range(40):
        async with engine.begin() as connection:
            value = {"name": f"{number:04}" * (mib // 4)}
            await connection.execute(text("UPDATE things SET name = :name WHERE id = 0"), value)
        largest = max(largest, log.stat().st_size)
    assert 15 * mib < largest < 24 * mib
