"""The accounting service on a real NATS server: follows the log, answers, proves itself by replay."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError
from prometheus_client import REGISTRY
from sqlalchemy import text

from contracts.envelope import Context, Envelope
from contracts.errors import UnavailableError
from contracts.events import Event
from contracts.principals import Level, Principal, Role
from contracts.queries import CheckHealth, ReplayLog, SumUsage
from contracts.subjects import subject_of
from contracts.usage import GroupBy, ReplayReport, UsageSummary
from services.accounting.eventlog import EventLog
from services.accounting.lag import LagWatch
from services.accounting.main import assemble
from services.accounting.moves import SUBJECTS
from services.accounting.service import UsageService
from services.accounting.settings import AccountingSection, AccountingSettings
from services.accounting.tables import METADATA
from services.chassis.bus import Bus
from services.chassis.database import close_engine, make_engine
from services.chassis.service import Frame, open_frame
from services.chassis.settings import NatsSettings
from tests.support.chassis import open_bus
from tests.support.databases import bring_schema, database_url, lose
from tests.support.servers import free_ports
from tests.support.usage_events import NOON, closing_move, moves_of_a_run, opening_move

ADMIN = Principal(subject="root", roles=frozenset({Role.ADMIN}))
ADA = Principal(subject="ada", projects={"tea": Level.MEMBER})
CONTEXT = Context.start("service:scheduler")


@pytest_asyncio.fixture
async def settings(nats: NatsSettings, tmp_path: Path) -> AccountingSettings:
    """A folder and a NATS of the test's own; the tables are there already."""
    section = AccountingSection(database_url=database_url(tmp_path, "accounting") or None)
    made = AccountingSettings(data=tmp_path / "data", nats=nats, accounting=section)
    await bring_schema("accounting", made.database_url)
    return made


@pytest_asyncio.fixture
async def scheduler(nats: NatsSettings) -> AsyncIterator[Bus]:
    """The one who announces moves."""
    async with open_bus(nats, "scheduler") as connected:
        yield connected


@asynccontextmanager
async def accounting(settings: AccountingSettings) -> AsyncIterator[tuple[Frame, EventLog]]:
    """The service, without its HTTP port."""
    async with open_frame("accounting", settings, database_url=settings.database_url, metadata=METADATA) as frame:
        events = await assemble(frame)
        await frame.bus.start()
        yield frame, events
        await frame.drain()


async def announce(bus: Bus, moves: Iterable[Event]) -> None:
    for move in moves:
        await bus.announce(move, CONTEXT)


async def settled(bus: Bus, events: EventLog) -> None:
    """Wait until the ledger has taken whatever is in the log."""
    found = [await _last(bus, subject) for subject in SUBJECTS]
    last = max(found)
    assert last
    await events.wait_until_taken(last, patience=10, every=0.01)


async def _last(bus: Bus, subject: str) -> int:
    try:
        return (await bus.jetstream.get_last_msg("EVENTS", subject)).seq or 0
    except NotFoundError:
        return 0


async def sum_usage(
    bus: Bus, principal: Principal = ADMIN, *by: GroupBy, until: datetime | None = None
) -> UsageSummary:
    answer = await bus.ask(SumUsage(principal=principal, group_by=list(by), until=until))
    assert isinstance(answer, UsageSummary)
    return answer


async def replay(bus: Bus, principal: Principal = ADMIN) -> ReplayReport:
    answer = await bus.ask(ReplayLog(principal=principal), timeout=30)
    assert isinstance(answer, ReplayReport)
    return answer


async def tamper(settings: AccountingSettings, statement: str) -> None:
    engine = make_engine(settings.database_url)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await close_engine(engine)


async def test_moves_become_figures_that_a_replay_confirms(settings: AccountingSettings, scheduler: Bus) -> None:
    moves = [*moves_of_a_run(1), *moves_of_a_run(2, owner="ben", hours=36), opening_move(3)]
    async with accounting(settings) as (_, events):
        await announce(scheduler, moves)
        await settled(scheduler, events)

        summary = await sum_usage(scheduler, ADMIN, GroupBy.OWNER, GroupBy.DAY)
        assert [(row.owner, row.day, row.figures.segments, row.figures.wall_hours) for row in summary.rows] == [
            ("ada", "2026-11-21", 1, 1.0),
            ("ben", "2026-11-21", 1, 12.0),
            ("ben", "2026-11-22", 0, 24.0),
        ]
        assert summary.total.segments == 2
        assert (summary.total.cpu_hours, summary.total.memory_gib_hours) == (74.0, 148.0)
        assert summary.total.cpu_hours_used == pytest.approx(3.0)
        assert (summary.open_segments, summary.sequence) == (1, 7)

        report = await replay(scheduler)
        assert report.equal, report.differences
        assert report.live == report.replayed
        assert (report.events, report.last_sequence) == (7, 7)
        assert [row.day for row in report.live.rows] == ["2026-11-21", "2026-11-21", "2026-11-22"]
        assert report.live.total == summary.total
        assert list((settings.data / "tmp").iterdir()) == []


async def test_each_sees_their_own_in_summaries_and_replays(settings: AccountingSettings, scheduler: Bus) -> None:
    eve = Principal(subject="eve", projects={"tea": Level.ADMIN})
    auditor = Principal(subject="max", roles=frozenset({Role.AUDITOR}))
    async with accounting(settings) as (_, events):
        await announce(scheduler, moves_of_a_run(1))
        await announce(scheduler, moves_of_a_run(2, owner="ben", project="tea"))
        await announce(scheduler, moves_of_a_run(3, owner="ben", project="coffee"))
        await settled(scheduler, events)
        for principal, seen in ((ADA, 1), (eve, 2), (auditor, 3), (ADMIN, 3)):
            assert (await sum_usage(scheduler, principal)).total.segments == seen
            report = await replay(scheduler, principal)
            assert report.equal
            assert report.replayed.total.segments == seen


async def test_an_empty_log_replays_to_nothing(settings: AccountingSettings, scheduler: Bus) -> None:
    async with accounting(settings):
        summary = await sum_usage(scheduler)
        assert (summary.rows, summary.sequence) == ([], 0)
        report = await replay(scheduler)
        assert (report.equal, report.events, report.last_sequence) == (True, 0, 0)


async def test_events_of_others_do_not_keep_a_replay_waiting(settings: AccountingSettings, scheduler: Bus) -> None:
    async with accounting(settings):
        await announce(scheduler, moves_of_a_run(1))
        await scheduler.publish("events.file.stored.x", b"{}", "some-file")
        report = await replay(scheduler)
        assert (report.equal, report.events, report.last_sequence) == (True, 3, 4)


async def test_an_event_that_comes_twice_counts_once(settings: AccountingSettings, scheduler: Bus) -> None:
    async with accounting(settings) as (_, events):
        for number, move in enumerate(moves_of_a_run(1)):
            raw = Envelope.wrap(
                move, CONTEXT, source="scheduler", subject=move.subject_id, id=f"same-{number}"
            ).to_bytes()
            # Under two message ids the stream keeps both: only the inbox can know better.
            await scheduler.publish(subject_of(move), raw, f"first-{number}")
            await scheduler.publish(subject_of(move), raw, f"second-{number}")
        await settled(scheduler, events)
        summary = await sum_usage(scheduler)
        assert (summary.total.segments, summary.total.wall_hours, summary.sequence) == (1, 1.0, 6)
        assert (await replay(scheduler)).equal


async def test_after_a_restart_it_goes_on_where_it_was(settings: AccountingSettings, scheduler: Bus) -> None:
    opening, closing = opening_move(1), closing_move(1)
    async with accounting(settings) as (_, events):
        await announce(scheduler, [opening])
        await settled(scheduler, events)
    await announce(scheduler, [closing])
    async with accounting(settings) as (_, events):
        await settled(scheduler, events)
        assert (await sum_usage(scheduler)).total.segments == 1
        assert (await replay(scheduler)).equal


async def test_a_ledger_that_was_lost_is_rebuilt_from_the_log(settings: AccountingSettings, scheduler: Bus) -> None:
    async with accounting(settings) as (_, events):
        await announce(scheduler, moves_of_a_run(1))
        await settled(scheduler, events)
    await lose(settings.database_url)
    await bring_schema("accounting", settings.database_url)
    async with accounting(settings) as (_, events):
        await settled(scheduler, events)
        assert (await sum_usage(scheduler)).total.segments == 1
        assert (await replay(scheduler)).equal


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE parts SET cpu_us = cpu_us + 1", "cpu_hours is"),
        ("UPDATE parts SET owner = 'eve'", "not in the event log"),
        ("DELETE FROM parts", "not in the ledger"),
        ("UPDATE segments SET closed_sequence = NULL", "open segments: 1 in the ledger, 0 by the event log"),
    ],
)
async def test_a_replay_shows_what_was_tampered_with(
    settings: AccountingSettings, scheduler: Bus, statement: str, said: str
) -> None:
    async with accounting(settings) as (_, events):
        await announce(scheduler, moves_of_a_run(1))
        await settled(scheduler, events)
        assert (await replay(scheduler)).equal
        await tamper(settings, statement)
        report = await replay(scheduler)
        assert not report.equal
        assert any(said in difference for difference in report.differences)


async def test_a_log_that_lost_its_beginning_is_named(settings: AccountingSettings, scheduler: Bus) -> None:
    async with accounting(settings) as (_, events):
        await announce(scheduler, [*moves_of_a_run(1), *moves_of_a_run(2)])
        await settled(scheduler, events)
        await scheduler.jetstream.purge_stream("EVENTS", seq=4)
        report = await replay(scheduler)
        assert not report.equal
        assert report.differences[-1].startswith("the event log begins at event 4")


async def test_a_replay_waits_for_a_ledger_that_is_behind_but_not_for_ever(
    settings: AccountingSettings, scheduler: Bus
) -> None:
    async with open_frame("accounting", settings, database_url=settings.database_url, metadata=METADATA) as frame:
        events = EventLog(frame.bus.jetstream)
        usage = UsageService(unit=frame.unit, events=events, scratch=settings.data / "tmp", patience=0.05)
        await announce(scheduler, moves_of_a_run(1))
        with pytest.raises(UnavailableError, match="behind"):
            await usage.replay(ADMIN)


async def test_what_comes_while_a_replay_runs_is_not_compared(settings: AccountingSettings, scheduler: Bus) -> None:
    async with accounting(settings):
        await announce(scheduler, [*moves_of_a_run(1), opening_move(2)])
        asked = asyncio.create_task(replay(scheduler))
        await announce(scheduler, [closing_move(2), *moves_of_a_run(3)])
        assert (await asked).equal
        last = await replay(scheduler)
        assert (last.equal, last.live.total.segments) == (True, 3)


async def test_nonsense_in_the_log_stops_neither_the_ledger_nor_the_replay(
    settings: AccountingSettings, scheduler: Bus
) -> None:
    async with accounting(settings) as (_, events):
        await scheduler.publish("events.workload.queued.x", b"nonsense", "nonsense")
        await announce(scheduler, moves_of_a_run(1))
        await settled(scheduler, events)
        report = await replay(scheduler)
        assert (report.equal, report.live.total.segments, report.events) == (True, 1, 4)


async def test_a_day_is_in_the_sum_if_the_span_touches_it(settings: AccountingSettings, scheduler: Bus) -> None:
    async with accounting(settings) as (_, events):
        await announce(scheduler, moves_of_a_run(1))
        await settled(scheduler, events)
        midnight = NOON.replace(hour=0)
        assert (await sum_usage(scheduler, until=midnight)).total.segments == 0
        assert (await sum_usage(scheduler, until=midnight + timedelta(seconds=1))).total.segments == 1


async def test_a_large_log_is_replayed_in_batches(settings: AccountingSettings, scheduler: Bus) -> None:
    async with accounting(settings):
        moves = [move for number in range(900) for move in moves_of_a_run(number, owner=f"user{number % 7}")]
        await asyncio.gather(*(scheduler.announce(move, CONTEXT) for move in moves))
        report = await replay(scheduler)
        assert (report.equal, report.events, len(report.live.rows)) == (True, 2700, 7)
        assert report.live.total.segments == 900


async def test_the_lag_is_a_metric_and_too_much_of_it_is_not_ready(
    settings: AccountingSettings, scheduler: Bus
) -> None:
    async with accounting(settings) as (_, events), LagWatch(events, every=0.01) as watch:
        await announce(scheduler, moves_of_a_run(1))
        await settled(scheduler, events)
        assert await watch.look() == 0
        await watch.check()
        assert REGISTRY.get_sample_value("shunter_accounting_lag_events") == 0


async def test_the_process_serves_until_told_to_stop(settings: AccountingSettings, scheduler: Bus) -> None:
    """The whole of `main`, as operators run it."""
    (port,) = free_ports(1)
    env = {
        **os.environ,
        "SHUNTER_DATA": str(settings.data),
        "SHUNTER_NATS__URL": settings.nats.url,
        "SHUNTER_ACCOUNTING__HEALTH__PORT": str(port),
        "SHUNTER_ACCOUNTING__DATABASE_URL": settings.database_url,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.accounting.main", env=env, stderr=asyncio.subprocess.PIPE
    )
    try:
        await _until_ready(f"http://127.0.0.1:{port}/readyz")
        await announce(scheduler, moves_of_a_run(1))
        assert (await replay(scheduler)).equal
        health = await scheduler.ask(CheckHealth(), service="accounting")
        assert health.checks == {"nats": "ok", "database": "ok", "lag": "ok"}
    finally:
        process.send_signal(signal.SIGTERM)
        _, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()


async def _until_ready(url: str) -> None:
    async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
