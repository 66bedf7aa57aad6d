"""The outbox on a real server: said at once, and after a crash, each fact once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from contracts.envelope import Context
from contracts.ids import workload_id
from contracts.model import now
from services.chassis.bus import Bus
from services.chassis.relay import Relay
from services.chassis.settings import NatsSettings
from services.chassis.strangers import Strangers
from services.chassis.unit import OutboxRow, UnitOfWork, Work
from tests.support.chassis import (
    INBOX,
    NOTES,
    OUTBOX,
    Stand,
    cancel,
    moved,
    open_bus,
    open_stand,
    read_events,
    requested,
    until,
)
from tests.support.databases import url_in

ANN = Context.start("user:ann")


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(url_in(tmp_path)) as opened:
        yield opened


@pytest.fixture
async def bus(nats: NatsSettings) -> AsyncIterator[Bus]:
    async with open_bus(nats, "scheduler") as connected:
        yield connected


async def _revisions(bus: Bus, target: str) -> list[int]:
    return [event.data["revision"] for event in await read_events(bus) if event.data["workload_id"] == target]


async def test_a_fact_is_said_at_once_after_the_commit(stand: Stand, bus: Bus) -> None:
    await stand.relay.start({"events": bus.send_row})
    async with stand.unit.begin(ANN) as work:
        event_id = work.send(requested())
        await asyncio.sleep(0.05)
        assert await read_events(bus) == []
    await until(lambda: stand.relay.unsent() == {"events": 0})
    assert [event.id for event in await read_events(bus)] == [event_id]
    await stand.relay.stop()
    assert await stand.relay.count_unsent() == 0


async def test_what_fails_before_the_commit_is_neither_kept_nor_said(stand: Stand, bus: Bus) -> None:
    await stand.relay.start({"events": bus.send_row})

    async def fail() -> None:
        async with stand.unit.handling("m-1", ANN) as work:
            assert work
            await work.connection.execute(insert(NOTES).values(text="gone"))
            work.send(requested())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await stand.relay.stop()
    assert await stand.count(NOTES) == await stand.count(INBOX) == await stand.count(OUTBOX) == 0
    assert await read_events(bus) == []


async def test_a_cancelled_transaction_leaves_nothing_and_lets_the_next_one_in(stand: Stand) -> None:
    async def hang() -> None:
        async with stand.unit.handling("m-1", ANN) as work:
            assert work
            await work.connection.execute(insert(NOTES).values(text="gone"))
            work.send(requested())
            await asyncio.sleep(60)

    for moment in (0.0, 0.0005, 0.001, 0.002, 0.02):
        task = asyncio.create_task(hang())
        await asyncio.sleep(moment)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(2), stand.unit.handling("m-1", ANN) as work:
        assert work
    assert await stand.count(NOTES) == 0
    assert await stand.count(OUTBOX) == 0


async def test_a_cancelled_bulk_write_does_not_keep_the_database_locked(stand: Stand) -> None:
    rows = [{"text": str(number)} for number in range(2000)]
    kept: list[object] = []

    async def write() -> None:
        async with stand.unit.begin(ANN) as work:
            await work.connection.execute(insert(NOTES), rows)
            await asyncio.sleep(60)

    for step in range(20):
        task = asyncio.create_task(write())
        await asyncio.sleep(0.0004 * step)
        task.cancel()
        # Whoever keeps the error keeps its traceback, and with it the cursor.
        kept += await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(5), stand.unit.begin(ANN) as work:
            await work.connection.execute(insert(NOTES).values(text="mine"))
    assert await stand.count(NOTES) == len(kept) == 20


async def test_a_transaction_that_is_cancelled_while_it_commits_is_said_if_it_is_kept(stand: Stand, bus: Bus) -> None:
    async def handle(number: int) -> None:
        async with stand.unit.handling(f"m-{number}", ANN) as work:
            assert work
            work.send(requested())

    tasks = [asyncio.create_task(handle(number)) for number in range(40)]
    for number, task in enumerate(tasks):
        await asyncio.sleep(0.0002 * (number % 10))
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    after_crash = Relay(engine=stand.engine, outbox=OUTBOX, service="scheduler", turn=asyncio.Lock())
    await after_crash.start({"events": bus.send_row})
    await after_crash.stop()
    assert len(await read_events(bus)) == await stand.count(OUTBOX) == await stand.count(INBOX)


async def test_after_a_crash_between_commit_and_saying_each_fact_is_said_once_in_order(stand: Stand, bus: Bus) -> None:
    target = workload_id()
    for revision in range(1, 31):
        # The relay was never started: as if the process died right after each commit.
        async with stand.unit.begin(ANN) as work:
            work.send(requested(target, revision=revision))
    for _ in range(2):
        again = Relay(engine=stand.engine, outbox=OUTBOX, service="scheduler", turn=asyncio.Lock())
        await again.start({"events": bus.send_row})
        await again.stop()
    assert await _revisions(bus, target) == list(range(1, 31))


@pytest.mark.parametrize("hours", [-1, 1], ids=["ahead", "behind"])
async def test_what_a_crash_left_is_said_though_the_clock_has_jumped_since(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    said, made = [], now() + timedelta(hours=hours)
    monkeypatch.setattr("contracts.envelope.now", lambda: made)
    monkeypatch.setattr("services.chassis.relay._SWEEP_EVERY", 0.1)

    async def sink(row: OutboxRow) -> None:
        said.append(row.id)

    async with stand.unit.begin(ANN) as work:
        first = work.send(requested())
    await stand.relay.start({"events": sink})
    await until(lambda: said == [first])
    # Of another replica, which has died; ours was running when the clock jumped.
    other = UnitOfWork(
        engine=stand.engine, inbox=INBOX, outbox=OUTBOX, source="scheduler", announce=lambda _: None, turn=stand.turn
    )
    async with other.begin(ANN) as work:
        second = work.send(requested())
    await until(lambda: said == [first, second])
    await stand.relay.stop()


async def test_what_another_replica_has_committed_and_not_said_is_said_first(stand: Stand, bus: Bus) -> None:
    target, other_thing = workload_id(), workload_id()
    # It dies right after each commit.
    dead = UnitOfWork(
        engine=stand.engine, inbox=INBOX, outbox=OUTBOX, source="scheduler", announce=lambda _: None, turn=stand.turn
    )
    await stand.relay.start({"events": bus.send_row})
    life = [
        *((stand.unit, moved(target, 1)), (dead, moved(target, 2)), (dead, moved(target, 3))),
        *((stand.unit, moved(target, 4)), (dead, moved(target, 5))),
        *((stand.unit, requested(target, revision=5)), (stand.unit, moved(target, 6)), (dead, moved(other_thing, 2))),
    ]
    for unit, event in life:
        async with unit.begin(ANN) as work:
            work.send(event)
    await stand.relay.stop()
    assert await _revisions(bus, target) == [1, 2, 3, 4, 5, 5, 6]
    assert await _revisions(bus, other_thing) == []
    assert await stand.relay.count_unsent() == 1


async def test_one_replica_alone_asks_nobody(stand: Stand, bus: Bus) -> None:
    target, strangers = workload_id(), Strangers(stand.engine, OUTBOX)
    life = [moved(target, 1), moved(target, 2), requested(target, revision=2), moved(target, 3), moved(target, 5)]
    doubted: list[int] = []
    for event in life:
        async with stand.unit.begin(ANN) as work:
            work.send(event)
            (row,) = work.rows
        strangers.note(row)
        doubted += [event.revision for _ in await strangers.before(row)]
    # The last one does not follow what was said here: whatever lies unsaid before it is told.
    assert doubted == [5] * 4
    strangers.forget(row)
    assert await strangers.before(row) == []


async def test_what_was_said_but_not_written_down_is_not_heard_twice(stand: Stand, bus: Bus) -> None:
    await stand.relay.start({"events": bus.send_row})
    async with stand.unit.begin(ANN) as work:
        work.send(requested())
    await stand.relay.stop()
    async with stand.unit.begin(ANN) as work:
        await work.connection.execute(update(OUTBOX).values(sent_at=None))
    again = Relay(engine=stand.engine, outbox=OUTBOX, service="scheduler", turn=asyncio.Lock())
    await again.start({"events": bus.send_row})
    await again.stop()
    assert await again.count_unsent() == 0
    assert len(await read_events(bus)) == 1


async def test_a_row_that_cannot_be_said_holds_up_its_own_kind_only(stand: Stand) -> None:
    said: list[str] = []
    good, bad = workload_id(), workload_id()
    broken = True

    async def sink(row: OutboxRow) -> None:
        if row.subject.endswith(bad) and broken:
            raise ConnectionError("not this one")
        said.append(row.subject.rpartition(".")[2])

    await stand.relay.start({"events": sink, "temporal": sink})
    for target in (bad, good, bad, good):
        async with stand.unit.begin(ANN) as work:
            work.send(requested(target))
            work.defer("temporal", good, cancel(good))
    await until(lambda: said.count(good) == 6)
    assert stand.relay.unsent() == {"events": 2, "temporal": 0}
    broken = False
    await until(lambda: said.count(bad) == 2)
    await stand.relay.stop()
    assert await stand.relay.count_unsent() == 0


async def test_what_was_deferred_comes_out_as_it_went_in(stand: Stand) -> None:
    said: list[OutboxRow] = []

    async def sink(row: OutboxRow) -> None:
        said.append(row)

    command = cancel(message="start it")

    def change(work: Work) -> None:
        work.defer("temporal", "start", command)

    async with stand.unit.begin(ANN) as work:
        change(work)
    await stand.relay.start({"temporal": sink})
    await stand.relay.stop()
    assert [type(command).model_validate_json(row.payload) for row in said] == [command]


async def test_the_inbox_forgets_what_nobody_will_send_again(stand: Stand) -> None:
    async with stand.unit.begin(ANN) as work:
        ages = [timedelta(days=8), timedelta(days=6), timedelta(0)]
        rows = [{"message_id": f"m-{age.days}", "handled_at": now() - age} for age in ages]
        await work.connection.execute(insert(INBOX), rows)
    await stand.relay.start({})
    async with asyncio.timeout(2):
        while await stand.count(INBOX) == 3:  # noqa: ASYNC110 (the relay prunes in its own time)
            await asyncio.sleep(0.01)
    await stand.relay.stop()
    async with stand.unit.reading() as connection:
        assert set((await connection.execute(select(INBOX.c.message_id))).scalars()) == {"m-6", "m-0"}


async def test_a_reader_waits_for_no_writer(stand: Stand) -> None:
    async with stand.unit.begin(ANN) as work:
        await work.connection.execute(insert(NOTES).values(text="unseen"))
        async with asyncio.timeout(2):
            assert await stand.count(NOTES) == 0
    assert await stand.count(NOTES) == 1
