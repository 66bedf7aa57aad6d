"""What got lost between memory and table goes all the same, though nothing else has anybody look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import event, select

from contracts.envelope import Context
from contracts.errors import UnavailableError
from services.chassis.database import close_engine, make_engine
from services.chassis.migrations import ensure_schema
from services.chassis.unit import UnitOfWork, turn_for
from services.scheduler.backends.registry import Backends
from services.scheduler.queue import clock
from services.scheduler.queue.clock import QueueClock
from services.scheduler.queue.demand import Demand
from services.scheduler.queue.dispatcher import READY, Dispatcher
from services.scheduler.queue.lanes import LaneKey
from services.scheduler.queue.table import Ticket
from services.scheduler.settings import Limits, QueueSettings
from services.scheduler.tables import METADATA
from tests.support.backend import FakeBackend
from tests.support.databases import bring_empty, url_in
from tests.support.postgres import needs_postgres, run_postgres

_OUTBOX = METADATA.tables["outbox"]
_CONTEXT = Context.start("service:scheduler")
_KEY = LaneKey("ada", "", 0, ("fake",))


class _Queue:
    """A queue of its own, whose user may have one job running: `first` has gone, `second` waits for its end."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self.unit = UnitOfWork(
            engine=self.engine,
            inbox=METADATA.tables["inbox"],
            outbox=_OUTBOX,
            source="scheduler",
            announce=lambda _rows: None,
            turn=turn_for(self.engine),
        )
        backends, settings = Backends([FakeBackend()]), QueueSettings()
        limits = Limits(running_per_user=1)
        self.dispatcher = Dispatcher(unit=self.unit, backends=backends, queue=settings, limits=limits)
        self.clock = QueueClock(unit=self.unit, dispatcher=self.dispatcher, backends=backends, settings=settings)

    async def admit(self, name: str) -> None:
        async with self.unit.begin(_CONTEXT) as work:
            await self.dispatcher.admit(work, _ticket(name))

    async def make_room(self) -> None:
        async with self.unit.begin(_CONTEXT) as work:
            self.dispatcher.books.discharge("first")
            work.facts.append(READY)

    async def gone(self) -> list[str]:
        async with self.unit.reading() as connection:
            return list((await connection.execute(select(_OUTBOX.c.subject).order_by(_OUTBOX.c.seq))).scalars())


def _ticket(name: str) -> Ticket:
    start = {"job": {"workload_id": name, "max_retries": 0, "backoff": 0.0, "walltime": 60.0}, "owner": "ada"}
    return Ticket(name, _KEY, Demand(), start)


@asynccontextmanager
async def _queue(url: str) -> AsyncIterator[_Queue]:
    await ensure_schema("scheduler", url)
    queue = _Queue(url)
    try:
        yield queue
    finally:
        await close_engine(queue.engine)


@asynccontextmanager
async def _running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _until_gone(queue: _Queue, *names: str) -> None:
    async with asyncio.timeout(10):
        while await queue.gone() != [f"start/{name}" for name in names]:  # noqa: ASYNC110 (a table tells nobody)
            await asyncio.sleep(0.02)


async def test_what_was_let_go_by_a_lost_commit_goes_a_moment_later(tmp_path: Path) -> None:
    await bring_empty(url_in(tmp_path))
    async with _queue(url_in(tmp_path)) as queue, _running(queue.clock.run):
        await queue.admit("first")
        await queue.admit("second")
        assert await queue.gone() == ["start/first"]

        def fail(_connection: object) -> None:
            raise ConnectionResetError

        event.listen(queue.engine.sync_engine, "commit", fail)
        with pytest.raises(UnavailableError):
            await queue.make_room()
        event.remove(queue.engine.sync_engine, "commit", fail)
        await _until_gone(queue, "first", "second")
        assert not queue.dispatcher.is_in_doubt


@needs_postgres
async def test_what_was_admitted_beside_a_count_that_could_not_see_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_COUNT_AGAIN", 0.2)
    async with run_postgres() as url, _queue(url) as queue, _running(queue.clock.run):
        await queue.admit("first")
        async with queue.unit.begin(_CONTEXT) as work:
            await queue.dispatcher.admit(work, _ticket("second"))
            queue.dispatcher.doubt()
            await queue.make_room()
            assert not queue.dispatcher.is_exact
            assert not queue.dispatcher.anybody_waits
        await _until_gone(queue, "first", "second")
        assert queue.dispatcher.is_exact


@needs_postgres
async def test_whom_somebody_lets_go_before_he_is_in_the_table_keeps_his_place() -> None:
    async with run_postgres() as url, _queue(url) as queue, _running(queue.clock.run):
        await queue.admit("first")
        async with queue.unit.begin(_CONTEXT) as work:
            await queue.dispatcher.admit(work, _ticket("second"))
            await queue.make_room()
            assert await queue.gone() == ["start/first"]
            work.facts.clear()  # so that he does not go with his own commit
        assert not queue.dispatcher.is_in_doubt
        assert queue.dispatcher.anybody_waits
        await _until_gone(queue, "first", "second")
