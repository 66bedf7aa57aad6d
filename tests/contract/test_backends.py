"""Every promise of `Backend`, against every backend. A new backend is one entry in BACKENDS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.ids import workload_id
from contracts.leases import Offer
from contracts.model import now
from contracts.runs import RunTask, run_name
from services.chassis.bus import Bus
from services.chassis.migrations import ensure_schema
from services.chassis.service import open_frame
from services.chassis.settings import ChassisSettings, NatsSettings
from services.scheduler.backends.base import Backend, Cancelled, NativeJob, Observation
from services.scheduler.backends.local import LocalBackend
from services.scheduler.backends.pull import PullBackend
from services.scheduler.pulls.store import see
from services.scheduler.pulls.workers import Worker
from services.scheduler.settings import PullSettings
from services.scheduler.tables import METADATA
from tests.support.backend import FakeBackend
from tests.support.clusters import open_rig
from tests.support.runner import FakeRunner, Outcome

Make = Callable[[AsyncExitStack, NatsSettings], Awaitable[Backend]]


async def _fake(_stack: AsyncExitStack, _nats: NatsSettings) -> Backend:
    return FakeBackend()


async def _flaky(_stack: AsyncExitStack, _nats: NatsSettings) -> Backend:
    return FakeBackend(flaky=True)


async def _local(stack: AsyncExitStack, nats: NatsSettings) -> Backend:
    bus = Bus(nats, "test")
    await bus.connect()
    stack.push_async_callback(bus.stop)
    runner = FakeRunner(nats, decide=lambda _: Outcome(exit_code=None))
    await runner.start()
    stack.push_async_callback(runner.stop)
    return LocalBackend(name="local", bus=bus)


async def _pull(stack: AsyncExitStack, nats: NatsSettings) -> Backend:
    """Return the real one, with one worker that was there a moment ago."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="shunter-pull-")))
    url = f"sqlite+aiosqlite:///{folder / 'scheduler.db'}"
    await ensure_schema("scheduler", url)
    chassis = ChassisSettings(data=folder, nats=nats)
    frame = await stack.enter_async_context(open_frame("scheduler", chassis, database_url=url, metadata=METADATA))
    worker = Worker("ann", "local")
    async with frame.unit.begin(Context.start("user:ann")) as work:
        await see(work.connection, "pull", worker, Offer(cpus=4, memory=2**30), now(), asks=True)
    return PullBackend(name="pull", settings=PullSettings(), unit=frame.unit, bus=frame.bus)


async def _cluster(stack: AsyncExitStack, nats: NatsSettings) -> Backend:
    """Return the real one on a cluster in memory, with its keeper at work."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="shunter-cluster-")))
    rig = await stack.enter_async_context(open_rig(folder, nats))
    await stack.enter_async_context(rig.kept())
    return rig.backend


BACKENDS: dict[str, Make] = {"fake": _fake, "flaky": _flaky, "local": _local, "pull": _pull, "cluster": _cluster}

patiently = retry(retry=retry_if_exception_type(UnavailableError), stop=stop_after_attempt(3))
"""What the workflow does: a bad day is waited for."""


@pytest_asyncio.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest, nats: NatsSettings) -> AsyncIterator[Backend]:
    async with AsyncExitStack() as stack:
        yield await BACKENDS[request.param](stack, nats)


def _task(attempt: int = 1) -> RunTask:
    return RunTask(
        workload_id=workload_id(), attempt=attempt, owner="ada", argv=["sleep", "60"], walltime=60, ticket="t"
    )


def _native(task: RunTask) -> NativeJob:
    return NativeJob(task.workload_id, task.attempt, run_name(task.workload_id, task.attempt))


async def test_what_was_submitted_is_seen(backend: Backend) -> None:
    task = _task()
    await patiently(backend.submit)(task)
    assert await patiently(backend.observe)(_native(task)) in {Observation.QUEUED, Observation.RUNNING}


async def test_the_same_attempt_twice_is_one_job(backend: Backend) -> None:
    task = _task()
    await patiently(backend.submit)(task)
    await patiently(backend.submit)(task)
    await patiently(backend.cancel)(_native(task))
    assert await patiently(backend.cancel)(_native(task)) is Cancelled.GONE


async def test_what_it_never_knew_is_none_and_cancels_silently(backend: Backend) -> None:
    unknown = _native(_task())
    assert await patiently(backend.observe)(unknown) is None
    assert await patiently(backend.cancel)(unknown) is Cancelled.GONE


async def test_what_was_canceled_is_gone(backend: Backend) -> None:
    task = _task()
    await patiently(backend.submit)(task)
    await patiently(backend.cancel)(_native(task))
    assert await patiently(backend.observe)(_native(task)) in {None, Observation.ENDED}


async def test_it_says_how_large_it_is(backend: Backend) -> None:
    room = await patiently(backend.capacity)()
    assert 0 < room.largest_cpus <= room.cpus
    assert 0 <= room.cpus_free <= room.cpus
