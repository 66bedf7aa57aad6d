"""Whatever ends a run early ends all of it, and says why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.runs import RunTask, StepName
from contracts.states import Reason
from services.chassis.settings import NatsSettings
from services.scheduler.runner.census import Census
from tests.support.runners import Desk, a_task, open_desk, running


@pytest_asyncio.fixture
async def desk(nats: NatsSettings) -> AsyncIterator[Desk]:
    async with open_desk(nats) as desk:
        yield desk


FAMILY = """
exec 2>/dev/null
trap '' TERM
setsid sleep 301 &
(setsid sh -c 'sleep 302 & sleep 303' &)
python -c "import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(304)
    os._exit(0)
os.wait()" &
sleep 0.3
touch ready
sleep 305
"""
"""Children that left the session, that were orphaned, that are daemons; and a parent that does not listen."""


def _living(task: RunTask) -> int:
    return len(Census().members(f"{task.workload_id}.{task.attempt}"))


async def _until_ready(work: Path, task: RunTask) -> None:
    while not (work / f"{task.workload_id}.1" / "work" / "ready").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_a_cancel_ends_the_whole_family(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = a_task(script=FAMILY)
    async with running(nats, tmp_path / "runs", grace=0.2):
        await desk.give(task)
        await _until_ready(tmp_path / "runs", task)
        assert _living(task) >= 5
        reply = await desk.control("cancel", task)
        assert (reply.known, reply.ended) == (True, False)
        done = await desk.until(task, StepName.DONE)
        assert _living(task) == 0
        assert (await desk.control("observe", task)).ended
    assert done.reason is Reason.CANCELED


async def test_what_outlives_its_program_is_ended(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = a_task("sh", "-c", "setsid sleep 301 & exit 0")
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(task)
    assert (done.reason, done.exit_code) == (Reason.EXITED, 0)
    assert _living(task) == 0


async def test_a_program_may_end_well_when_told_to_end(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = a_task("sh", "-c", "trap 'touch saved; exit 7' TERM; touch ready; sleep 300 & wait")
    async with running(nats, tmp_path / "runs", grace=20.0):
        await desk.give(task)
        await _until_ready(tmp_path / "runs", task)
        await desk.control("cancel", task)
        done = await desk.until(task, StepName.DONE)
    assert (done.reason, done.exit_code) == (Reason.CANCELED, 7)
    assert (tmp_path / "runs" / f"{task.workload_id}.1" / "work" / "saved").exists()


async def test_the_walltime_ends_a_run(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    async with running(nats, tmp_path / "runs"):
        began = time.monotonic()
        done = await desk.run(a_task("sleep", "300", walltime=0.2))
        passed = time.monotonic() - began
    assert done.reason is Reason.WALLTIME
    assert done.message == "it ran longer than 0.2 s"
    assert done.exit_code == 143
    assert done.usage
    assert 0.2 <= done.usage.wall_seconds < min(passed, 30)


async def test_more_memory_than_asked_for_ends_a_run(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    grab = "import time\nheld = bytearray(150_000_000)\ntime.sleep(300)"
    async with running(nats, tmp_path / "runs", sample_every=0.1):
        done = await desk.run(a_task("python", "-c", grab, memory=100_000_000))
    assert done.reason is Reason.MEMORY
    assert "100000000 were asked for" in done.message
    assert done.usage
    # What it held when it was looked at; it may not have had all it wanted yet.
    assert (done.usage.memory_peak or 0) > 100_000_000


async def test_shared_pages_count_once(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    fork = "import os, time\nheld = bytearray(60_000_000)\nfor _ in range(3): os.fork()\ntime.sleep(0.5)"
    async with running(nats, tmp_path / "runs", sample_every=0.1):
        done = await desk.run(a_task("python", "-c", fork, memory=200_000_000))
    assert (done.reason, done.exit_code) == (Reason.EXITED, 0)


async def test_a_waiting_task_is_canceled_at_once(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    first, second, third = (a_task("sleep", "300", cpus=4) for _ in range(3))
    async with running(nats, tmp_path / "runs"):
        await desk.give(first)
        await desk.until(first, StepName.RUNNING)
        await desk.give(second)
        await desk.give(third)
        # The second waits in the runner, the third still lies in the queue.
        for task in (third, second):
            await desk.control("cancel", task)
            assert (await desk.until(task, StepName.DONE)).reason is Reason.CANCELED
            assert [step.step for step in desk.steps(task)] == [StepName.DONE]
        await desk.control("cancel", first)
        await desk.until(first, StepName.DONE)


async def test_a_cancel_that_comes_before_its_task_counts(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = a_task("touch", str(tmp_path / "ran"))
    async with running(nats, tmp_path / "runs"):
        assert not (await desk.control("cancel", task)).known
        assert (await desk.run(task)).reason is Reason.CANCELED
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("action", ["observe", "cancel"])
async def test_nothing_is_known_of_a_stranger(nats: NatsSettings, desk: Desk, tmp_path: Path, action: str) -> None:
    async with running(nats, tmp_path / "runs"):
        reply = await desk.control(action, a_task("true"))
    assert (reply.known, reply.ended) == (False, False)
