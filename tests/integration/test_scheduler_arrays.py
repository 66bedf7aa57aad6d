"""Arrays in the scheduler, on a real NATS and a real Temporal, with a runner that pretends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contracts.errors import ConflictError, InvalidError, NotFoundError
from contracts.model import now
from contracts.runs import RunTask, Step, StepName
from contracts.states import Reason, WorkloadState
from contracts.tasks import TaskState
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.arrays.desk import ArrayDesk
from services.scheduler.arrays.store import open_bundles
from services.scheduler.records import Record
from services.scheduler.settings import SchedulerSettings
from tests.support.runner import FakeRunner, task_fact
from tests.support.scheduler import EVE, User, run_scheduler, scheduler_settings

S = TaskState
W = WorkloadState


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=0.5)


def _bundles(runner: FakeRunner) -> list[str]:
    return [task.bundle.indices for task in runner.tasks if task.bundle]


async def test_a_task_that_failed_before_anybody_looked_on_has_its_other_attempts(
    user: User, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = ArrayDesk._send

    async def send_and_see_it_end(desk: ArrayDesk, row: Record) -> float | None:
        pause = await send(desk, row)
        async with asyncio.timeout(20), desk._unit.reading() as connection:
            while await open_bundles(connection, row["id"]):  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.02)
        return pause

    monkeypatch.setattr(ArrayDesk, "_send", send_and_see_it_end)
    runner.decide_task = lambda _task, index: int(index == 1)
    failed = await user.until((await user.submit(array={"count": 3}, retries={"max": 2, "backoff": 0.05})).id)
    assert (failed.state, failed.message) == (W.FAILED, "1 failed of 3 tasks")
    (task,) = await user.tasks(failed.id, S.FAILED)
    assert (task.index, task.attempt) == (1, 3)


async def test_an_array_is_one_workload_of_many_tasks(user: User, runner: FakeRunner) -> None:
    job = await user.until((await user.submit(array={"count": 1200})).id)
    assert (job.state, job.attempt) == (W.SUCCEEDED, 1)
    assert job.tasks
    assert (job.tasks.total, job.tasks.succeeded) == (1200, 1200)
    moves = (await user.history(job.id)).transitions
    assert [move.state for move in moves] == [W.ACCEPTED, W.QUEUED, W.RUNNING, W.FINISHING, W.SUCCEEDED]
    assert len(runner.tasks) == 16
    tasks = await user.tasks(job.id, limit=500)
    assert [task.index for task in tasks] == list(range(1200))
    assert {task.usage.cpu_seconds for task in tasks if task.usage} == {0.25}


async def test_failed_tasks_are_tried_again_and_then_the_array_has_failed(user: User, runner: FakeRunner) -> None:
    runner.decide_task = lambda task, index: int(
        index in {3, 5} and not (task.bundle and index in task.bundle.attempts)
    )
    job = await user.until((await user.submit(array={"count": 20}, retries={"max": 1, "backoff": 0.1})).id)
    assert job.state is W.SUCCEEDED
    assert {task.index for task in await user.tasks(job.id) if task.attempt == 2} == {3, 5}
    runner.decide_task = lambda _task, index: int(index == 7)
    failed = await user.until((await user.submit(array={"count": 20}, retries={"max": 2, "backoff": 0.05})).id)
    assert (failed.state, failed.message) == (W.FAILED, "1 failed of 20 tasks")
    (task,) = await user.tasks(job.id if failed is None else failed.id, S.FAILED)
    assert (task.index, task.attempt, task.exit_code) == (7, 3, 1)


async def test_only_failed_tasks_run_again_with_their_items(user: User, runner: FakeRunner) -> None:
    items = [f"word {number}" for number in range(50)]
    runner.decide_task = lambda _task, index: int(index % 10 == 1)
    job = await user.until((await user.submit(argv=["echo", "{item}"], array={"items": items})).id)
    runner.decide_task = lambda _task, _index: 0
    runner.tasks.clear()
    again = await user.until((await user.retry_failed(job.id)).id)
    assert (again.state, again.retry_of) == (W.SUCCEEDED, job.id)
    assert [(task.index, task.item) for task in await user.tasks(again.id)] == [
        (number, items[number]) for number in (1, 11, 21, 31, 41)
    ]
    assert sorted(item for task in runner.tasks if task.bundle for item in task.bundle.items or ()) == sorted(
        items[number] for number in (1, 11, 21, 31, 41)
    )
    with pytest.raises(ConflictError):
        await user.retry_failed(again.id)


async def test_no_more_are_handed_out_than_may_run(user: User, runner: FakeRunner) -> None:
    runner.decide_task = lambda _task, _index: None
    job = await user.submit(array={"count": 100, "max_running": 3})
    await user.until(job.id, W.RUNNING)
    async with asyncio.timeout(20):
        while len(runner.running) < 3:  # noqa: ASYNC110 (the fake has no such event)
            await asyncio.sleep(0.02)
    assert [task.bundle.max_running for task in runner.running.values() if task.bundle] == [1, 1, 1]
    await user.cancel(job.id)
    ended = await user.until(job.id)
    assert ended.state is W.CANCELED
    assert ended.tasks
    assert ended.tasks.canceled == 100


async def test_some_tasks_are_canceled_wherever_they_stand(user: User, runner: FakeRunner) -> None:
    runner.decide_task = lambda _task, index: None if index in {0, 1} else 0
    job = await user.submit(array={"count": 20, "max_running": 1})
    await user.until_counts(job.id, running=2)
    await user.cancel_tasks(job.id, "0,15-16")
    ended = await user.until(job.id)
    assert ended.message == "3 canceled of 20 tasks"
    assert [task.index for task in await user.tasks(job.id, S.CANCELED)] == [0, 15, 16]
    with pytest.raises(ConflictError):
        await user.cancel_tasks(job.id, "0")


async def test_tasks_in_the_queue_are_canceled_although_no_runner_is_there(user: User, runner: FakeRunner) -> None:
    await runner.stop()
    job = await user.submit(array={"count": 4})
    await user.until_counts(job.id, queued=4)
    await user.cancel_tasks(job.id, "1")
    await user.until_counts(job.id, canceled=1)
    await user.cancel(job.id)
    assert (await user.until(job.id)).state is W.CANCELED


async def test_repeated_reports_change_nothing(user: User, runner: FakeRunner) -> None:
    runner.decide_task = lambda _task, index: None if index == 0 else 0
    job = await user.submit(array={"count": 2, "max_running": 100})
    seen = await user.until_counts(job.id, running=1, succeeded=1)
    assert seen.tasks
    task = next(task for task in runner.tasks if task.bundle and task.bundle.indices.startswith("0"))
    assert task.bundle
    fact = task_fact(task.bundle, 0, 0)
    done = Step(step=StepName.DONE, at=now(), reason=Reason.EXITED)
    for number in (2, 3):
        # The same end told twice, under another number: what is known is not counted again.
        await runner.report(task, Step(step=StepName.TASKS, at=now(), tasks=[fact]), done, number=number)
    ended = await user.until(job.id)
    assert ended.tasks
    assert (ended.state, ended.tasks.succeeded, ended.tasks.total) == (W.SUCCEEDED, 2, 2)


async def test_a_bundle_that_its_backend_forgot_is_handed_out_again(user: User, runner: FakeRunner) -> None:
    runner.decide_task = lambda task, index: None if index < 2 and not (task.bundle and task.bundle.attempts) else 0
    job = await user.submit(array={"count": 3})
    await user.until_counts(job.id, running=2, succeeded=1)
    runner.running.clear()
    ended = await user.until(job.id)
    assert ended.state is W.SUCCEEDED
    assert {task.index: task.attempt for task in await user.tasks(job.id)} == {0: 2, 1: 2, 2: 1}


async def test_a_restarted_scheduler_goes_on_with_an_array(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    runner.decide_task = lambda _task, _index: None
    user = User(bus)
    async with run_scheduler(settings):
        job = await user.submit(array={"count": 30, "max_running": 2})
        await user.until_counts(job.id, running=4)
    running: list[RunTask] = list(runner.running.values())
    runner.decide_task = lambda _task, _index: 0
    for task in running:
        assert task.bundle
        facts = [task_fact(task.bundle, index, 0) for index in (0, 1, 2, 3) if str(index) in task.bundle.indices]
        await runner.report(
            task,
            Step(step=StepName.TASKS, at=now(), tasks=facts),
            Step(step=StepName.DONE, at=now(), reason=Reason.EXITED),
        )
    runner.running.clear()
    async with run_scheduler(settings):
        ended = await user.until(job.id)
    assert ended.tasks
    assert (ended.state, ended.tasks.succeeded) == (W.SUCCEEDED, 30)
    indices = [part for bundle in _bundles(runner) for part in bundle.split(",")]
    assert len(set(indices)) == len(indices), "a task was handed out twice"


async def test_what_is_not_yours_or_no_array_has_no_tasks(user: User, bus: Bus) -> None:
    job = await user.submit(array={"count": 3})
    with pytest.raises(NotFoundError):
        await User(bus, EVE).tasks(job.id)
    single = await user.submit()
    with pytest.raises(NotFoundError):
        await user.tasks(single.id)
    with pytest.raises(InvalidError):
        await user.cancel_tasks((await user.submit(array={"count": 3}, hold=True)).id, "2-9")
