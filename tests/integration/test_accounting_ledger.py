"""The ledger on a real database: written in any order, each event once, read by those who may."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.envelope import Context, Envelope
from contracts.errors import InvalidError
from contracts.events import WorkloadMoved
from contracts.usage import GroupBy
from services.accounting.intake import Intake
from services.accounting.ledger import record, remember
from services.accounting.segments import fold
from services.accounting.store import Selection, count_open, read_position, read_sums
from services.accounting.summary import Group, Sums
from services.accounting.tables import INBOX, METADATA, OUTBOX, UNSPLIT
from services.chassis.bus import Delivery
from services.chassis.database import close_engine, make_engine
from services.chassis.migrations import ensure_schema
from services.chassis.policy import Scope
from services.chassis.unit import UnitOfWork, turn_for
from tests.support.databases import bring_empty, url_in
from tests.support.usage_events import NOON, closing_move, moves_of_a_run, opening_move, plain_move

EVERYTHING = Selection(scope=Scope(everything=True, owner="root", projects=frozenset()))
HOUR = 3_600_000_000


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    await bring_empty(url_in(tmp_path))
    made = make_engine(url_in(tmp_path))
    async with made.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield made
    await close_engine(made)


@pytest_asyncio.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as made:
        yield made


def unit_on(engine: AsyncEngine) -> UnitOfWork:
    return UnitOfWork(
        engine=engine,
        inbox=INBOX,
        outbox=OUTBOX,
        source="accounting",
        announce=lambda _: None,
        turn=turn_for(engine),
    )


async def sums_by(connection: AsyncConnection, *by: GroupBy, selection: Selection = EVERYTHING) -> dict[Group, Sums]:
    return await read_sums(connection, by, selection)


async def test_halves_may_come_in_any_order_and_often(connection: AsyncConnection) -> None:
    entries = list(enumerate([move for number in range(20) for move in moves_of_a_run(number)], start=1))
    expected = Sums(20, 20 * HOUR, 40 * HOUR, 30 * HOUR, 0, 0, 20 * 4 * 1024 * 3_600_000, 3 * 2**30)
    dice = random.Random(7)
    shuffled = entries + entries[::3]
    dice.shuffle(shuffled)
    while shuffled:
        some = [shuffled.pop() for _ in range(min(len(shuffled), dice.randint(1, 5)))]
        await record(connection, fold(some), max(sequence for sequence, _ in some))
    assert await sums_by(connection) == {Group(): expected}
    assert await count_open(connection, EVERYTHING) == 0
    assert await read_position(connection) == 60


async def test_an_open_segment_is_counted_as_open_only(connection: AsyncConnection) -> None:
    await record(connection, fold([(1, opening_move(1)), (2, closing_move(2))]), 2)
    assert await sums_by(connection) == {}
    assert await count_open(connection, EVERYTHING) == 1


async def test_the_first_move_that_closes_counts_whenever_it_comes(connection: AsyncConnection) -> None:
    first = closing_move(revision=5, at=NOON + timedelta(days=2))
    second = closing_move(revision=6, at=NOON + timedelta(days=3))
    await record(connection, fold([(1, opening_move()), (3, second)]), 3)
    await record(connection, fold([(2, first)]), 3)
    found = await sums_by(connection, GroupBy.DAY)
    assert sorted(group.day or "" for group in found) == ["2026-11-21", "2026-11-22", "2026-11-23"]
    assert sum(sums.wall_us for sums in found.values()) == 48 * HOUR


async def test_the_position_never_goes_back(connection: AsyncConnection) -> None:
    assert await read_position(connection) == 0
    await remember(connection, 7)
    await remember(connection, 5)
    assert await read_position(connection) == 7


async def test_a_cut_of_the_ledger_is_what_it_was_then(connection: AsyncConnection) -> None:
    moves = [opening_move(1), opening_move(2), closing_move(1), closing_move(2)]
    await record(connection, fold(enumerate(moves, start=1)), 4)
    for sequence, closed, still_open in ((0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 1, 1), (4, 2, 0)):
        cut = Selection(scope=EVERYTHING.scope, until_sequence=sequence)
        found = await sums_by(connection, selection=cut)
        assert sum(sums.segments for sums in found.values()) == closed
        assert await count_open(connection, cut) == still_open


async def _write_four_users(connection: AsyncConnection) -> None:
    moves: list[WorkloadMoved] = []
    for number, (owner, project) in enumerate(
        [("ada", "tea"), ("ada", "coffee"), ("ben", "tea"), ("eve", None)], start=1
    ):
        moves += moves_of_a_run(number, owner=owner, project=project)
    moves += [opening_move(9, owner="ben", project="tea")]
    await record(connection, fold(enumerate(moves, start=1)), len(moves))


@pytest.mark.parametrize(
    ("scope", "owners", "still_open"),
    [
        (Scope(everything=True, owner="root", projects=frozenset()), ["ada", "ada", "ben", "eve"], 1),
        (Scope(everything=False, owner="ada", projects=frozenset()), ["ada", "ada"], 0),
        (Scope(everything=False, owner="eve", projects=frozenset({"tea"})), ["ada", "ben", "eve"], 1),
        (Scope(everything=False, owner="nobody", projects=frozenset({"milk"})), [], 0),
    ],
)
async def test_everybody_sees_their_own_and_what_their_projects_used(
    connection: AsyncConnection, scope: Scope, owners: list[str], still_open: int
) -> None:
    await _write_four_users(connection)
    seen = Selection(scope=scope)
    found = await sums_by(connection, GroupBy.OWNER, GroupBy.PROJECT, selection=seen)
    assert sorted(group.owner or "" for group in found) == owners
    assert await count_open(connection, seen) == still_open


async def test_filters_narrow_what_is_summed_up(connection: AsyncConnection) -> None:
    await _write_four_users(connection)
    scope = EVERYTHING.scope

    async def count(selection: Selection) -> int:
        return sum(sums.segments for sums in (await sums_by(connection, selection=selection)).values())

    assert await count(Selection(scope=scope, owner="ada")) == 2
    assert await count(Selection(scope=scope, owner="ada", project="tea")) == 1
    assert await count(Selection(scope=scope, backend="elsewhere")) == 0
    assert await count(Selection(scope=scope, first_day=date(2026, 11, 22))) == 0
    assert await count(Selection(scope=scope, last_day=date(2026, 11, 20))) == 0
    assert await count(Selection(scope=scope, first_day=date(2026, 11, 21), last_day=date(2026, 11, 21))) == 4


async def test_sums_larger_than_64_bits_are_exact(connection: AsyncConnection) -> None:
    moves: list[WorkloadMoved] = []
    for number in range(3000):
        start = NOON.replace(hour=0) + timedelta(days=number)
        moves += [
            opening_move(number, at=start, cpus=100_000),
            closing_move(number, at=start + timedelta(hours=24), cpu_seconds=0),
        ]
    await record(connection, fold(enumerate(moves, start=1)), len(moves))
    (total,) = (await sums_by(connection, GroupBy.OWNER)).values()
    assert total.cpu_us == 3000 * 100_000 * 24 * HOUR > 2**63


@pytest.mark.own_stores("it reads how SQLite would answer")
async def test_segments_that_wait_to_be_split_are_found_by_their_index(connection: AsyncConnection) -> None:
    plan = await connection.execute(text(f"EXPLAIN QUERY PLAN SELECT * FROM segments WHERE {_sql(UNSPLIT)}"))
    assert "ix_segments_unsplit" in str(plan.all())


def _sql(clause: object) -> str:
    return str(clause).replace(" IS false", " IS 0")


def _deliveries(moves: Sequence[WorkloadMoved]) -> list[tuple[bytes, Delivery]]:
    found = []
    for sequence, move in enumerate(moves, start=1):
        context = Context.start("service:scheduler")
        envelope = Envelope.wrap(move, context, source="scheduler", subject=move.subject_id)
        found.append((envelope.to_bytes(), Delivery(envelope.id, context, "events", sequence)))
    return found


async def test_events_that_arrive_together_are_written_together_and_once(engine: AsyncEngine) -> None:
    intake = Intake(unit=unit_on(engine), linger=0)
    events = _deliveries([move for number in range(10) for move in moves_of_a_run(number)])
    await asyncio.gather(*(intake.take(*event) for event in [*events, *events]))
    await asyncio.gather(*(intake.take(*event) for event in reversed(events)))
    async with engine.connect() as connection:
        assert [sums.segments for sums in (await sums_by(connection)).values()] == [10]
        assert await read_position(connection) == 30
        # What changes nothing needs no memory.
        assert len((await connection.execute(select(INBOX))).all()) == 20


async def test_an_event_that_cannot_be_written_holds_up_no_other(engine: AsyncEngine) -> None:
    intake = Intake(unit=unit_on(engine), linger=0)
    bad = opening_move(99).model_copy(update={"revision": 2**70})
    events = _deliveries([*moves_of_a_run(1), bad, *moves_of_a_run(2)])
    outcomes = await asyncio.gather(*(intake.take(*event) for event in events), return_exceptions=True)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False] * 3 + [True] + [False] * 3
    async with engine.connect() as connection:
        assert [sums.segments for sums in (await sums_by(connection)).values()] == [2]


async def test_an_event_that_cannot_be_read_is_refused_but_passed(engine: AsyncEngine) -> None:
    intake = Intake(unit=unit_on(engine), linger=0)
    with pytest.raises(InvalidError):
        await intake.take(b"nonsense", Delivery("x", Context.start("service:unknown"), "events", 41))
    await intake.take(*_deliveries([plain_move()])[0])
    async with engine.connect() as connection:
        assert await read_position(connection) == 41


@pytest.mark.own_stores("it is about SQLite")
async def test_migrations_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    url = f"sqlite+aiosqlite:///{tmp_path}/migrated.db"
    await ensure_schema("accounting", url)
    await ensure_schema("accounting", url)

    def look(connection: Connection) -> tuple[object, set[str]]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, METADATA), _indexes(connection)

    migrated = make_engine(url)
    async with migrated.connect() as connection:
        changes, indexes = await connection.run_sync(look)
    await close_engine(migrated)
    created = make_engine("sqlite+aiosqlite://")
    async with created.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        expected = await connection.run_sync(_indexes)
    await close_engine(created)
    assert changes == []
    assert indexes == expected


def _indexes(connection: Connection) -> set[str]:
    rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
    return {row.sql for row in rows if "alembic" not in row.sql}
