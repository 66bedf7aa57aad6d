"""Every promise of `Backend`, against every backend. A new backend is one entry in BACKENDS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from contracts.errors import UnavailableError
from contracts.ids import workload_id
from contracts.runs import RunTask, run_name
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.backends.base import Backend, Cancelled, NativeJob, Observation
from services.scheduler.backends.local import LocalBackend
from tests.support.backend import FakeBackend
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


BACKENDS: dict[str, Make] = {"fake": _fake, "flaky": _flaky, "local": _local}

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
