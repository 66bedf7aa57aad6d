"""A scheduler whose table or Temporal is older than the rest of the world makes them agree; nothing runs twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from contracts.batches import Batch, BatchSpec
from contracts.commands import CreateBatch
from contracts.envelope import Context, Envelope, type_of
from contracts.errors import MismatchError, NotFoundError
from contracts.events import WorkloadMoved, WorkloadTasksMoved
from contracts.ids import workload_id
from contracts.model import now
from contracts.operations import Diagnosis
from contracts.queries import Diagnose, GetBatch
from contracts.ranges import Ranges
from contracts.runs import RunTask, Step, StepName
from contracts.schedules import Schedule
from contracts.states import Reason, WorkloadState
from contracts.subjects import event_subject
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import Limits, SchedulerSettings
from services.scheduler.temporal import connect
from services.scheduler.workflows.job import JobWorkflow
from services.scheduler.workflows.words import JobInput
from tests.support.databases import dump, lose, query, restore
from tests.support.runner import FakeRunner, Outcome, task_fact
from tests.support.scheduler import ADA, User, run_scheduler, scheduler_settings
from tests.support.schedules import Keeper

S = WorkloadState


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=60, compare=0.2, settled=0.0)


@pytest_asyncio.fixture
async def client(settings: SchedulerSettings) -> Client:
    return await connect(settings.scheduler.temporal)


async def _end(runner: FakeRunner, job: str) -> None:
    task = runner.running.pop(f"{job}.1")
    await runner.report(task, *runner.end_of(Outcome()))


async def _until_status(handle: WorkflowHandle[Any, Any], status: WorkflowExecutionStatus) -> None:
    async with asyncio.timeout(60):
        while (await handle.describe()).status is not status:  # noqa: ASYNC110 (only Temporal knows)
            await asyncio.sleep(0.1)


async def _until_said(settings: SchedulerSettings) -> None:
    """Wait until the log has what the table has: what was not said is lost with the table."""
    async with asyncio.timeout(60):
        unsent = "SELECT count(*) FROM outbox WHERE sink = 'events' AND sent_at IS NULL"
        while (await query(settings.database_url, unsent))[0][0]:  # noqa: ASYNC110 (another connection writes)
            await asyncio.sleep(0.05)


async def _moves(bus: Bus) -> Counter[tuple[str, int]]:
    """Count what the log tells, by workload and number: what is told twice would be billed twice."""
    found: Counter[tuple[str, int]] = Counter()
    subscription = await bus.jetstream.pull_subscribe(event_subject("workload"), stream="EVENTS")
    pending = (await subscription.consumer_info()).num_pending or 0
    while pending:
        messages = await subscription.fetch(min(500, pending), timeout=10)
        for message in messages:
            envelope = Envelope.from_bytes(message.data)
            if envelope.type == type_of(WorkloadMoved):
                moved = envelope.unwrap(WorkloadMoved)
                found[moved.workload_id, moved.revision] += 1
            elif envelope.type == type_of(WorkloadTasksMoved):
                told = envelope.unwrap(WorkloadTasksMoved)
                found[told.workload_id, -told.batch] += 1
        pending = messages[-1].metadata.num_pending
    return found


async def test_a_table_from_a_backup_is_brought_forward_and_nothing_runs_twice(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    runner.decide = lambda task: Outcome(exit_code=None if task.argv == ["sleep"] else 0)
    user = User(bus)
    async with run_scheduler(settings):
        known = await user.submit(argv=["sleep"])
        goes_on = await user.submit(argv=["sleep"])
        for job in (known, goes_on):
            await user.until(job.id, S.RUNNING)
        backup = await dump(settings.database_url)
        later = await user.submit(name="later")
        await user.until(later.id)
        await _end(runner, known.id)
        await user.until(known.id)
        before = {job.id: (await user.history(job.id)).transitions for job in (known, goes_on, later)}
        await _until_said(settings)
    await restore(settings.database_url, backup)
    async with run_scheduler(settings):
        for job in (known, later):
            assert (await user.until(job.id)).state is S.SUCCEEDED
            assert (await user.history(job.id)).transitions == before[job.id]
        assert (await user.get(goes_on.id)).state is S.RUNNING
        await _end(runner, goes_on.id)
        assert (await user.until(goes_on.id)).state is S.SUCCEEDED
    assert len(runner.tasks) == 3


async def test_a_lost_table_is_rebuilt_from_the_event_log(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    user = User(bus)
    async with run_scheduler(settings):
        job = await user.submit(name="known", labels={"a": "b"})
        ended = await user.until(job.id)
        await _until_said(settings)
    await lose(settings.database_url)
    async with run_scheduler(settings):
        assert await user.until(job.id) == ended
    assert len(runner.tasks) == 1


async def test_workflows_that_temporal_lost_go_on_and_those_too_many_end(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, client: Client
) -> None:
    runner.decide = lambda _: Outcome(exit_code=None)
    user = User(bus)
    async with run_scheduler(settings):
        job = await user.submit()
        await user.until(job.id, S.RUNNING)
        stray = await client.start_workflow(
            JobWorkflow.run,
            JobInput(workload_id=f"{job.id}-stray", walltime=60, hold=True),
            id=f"{job.id}-stray",
            task_queue=settings.scheduler.temporal.task_queue,
        )
        await client.get_workflow_handle(job.id).terminate(reason="a test")
        handle = client.get_workflow_handle(job.id)
        await _until_status(handle, WorkflowExecutionStatus.RUNNING)
        await _until_status(stray, WorkflowExecutionStatus.TERMINATED)
        await _end(runner, job.id)
        ended = await user.until(job.id)
        assert (ended.state, ended.attempt) == (S.SUCCEEDED, 1)
        found: Diagnosis = await bus.ask(Diagnose(), service="scheduler")
        assert set(found.probes) >= {"outbox", "schema", "disk", "runners", "workflows", "attempts"}
        assert [finding for finding in found.findings if finding.code != "disk-full"] == []
    assert len(runner.tasks) == 1


async def test_what_waited_waits_in_its_place_and_what_has_left_the_queue_does_not_come_back(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    runner.decide = lambda task: Outcome(exit_code=None if task.argv == ["sleep"] else 0)
    settings.scheduler.limits = Limits(running_per_user=1)
    user = User(bus)
    async with run_scheduler(settings):
        first = await user.submit(argv=["sleep"])
        await user.until(first.id, S.RUNNING)
        to_cancel, to_hold = await user.submit(), await user.submit()
        to_release = await user.submit(argv=["sleep"], hold=True)
        old = await user.submit(after=[{"job": first.id}])
        backup = await dump(settings.database_url)
        new = await user.submit()
        chained = await user.submit(after=[{"job": new.id}])
        held = await user.submit(hold=True)
        broken = await user.submit(after=[{"job": first.id, "on": "failure"}])
        never = await user.submit(after=[{"job": broken.id}])
        await user.cancel(to_cancel.id)
        await user.hold(to_hold.id)
        await user.start(to_release.id)
        await _end(runner, first.id)
        await user.until(to_release.id, S.RUNNING)
        await user.until(never.id)
        jobs = [first, to_cancel, to_hold, to_release, old, new, chained, held, broken, never]
        before = {job.id: (await user.get(job.id), (await user.history(job.id)).transitions) for job in jobs}
        await _until_said(settings)
    told = await _moves(bus)
    await restore(settings.database_url, backup)
    async with run_scheduler(settings):
        await user.until(to_release.id, S.RUNNING)
        assert {job.id: (await user.get(job.id), (await user.history(job.id)).transitions) for job in jobs} == before
        assert (await _moves(bus)) == told
        assert len(runner.tasks) == 2
        await _end(runner, to_release.id)
        for job in (old, new, chained):
            assert (await user.until(job.id)).state is S.SUCCEEDED
        for job in (held, to_hold):
            await user.start(job.id)
            assert (await user.until(job.id)).state is S.SUCCEEDED
    ran = [task.workload_id for task in runner.tasks]
    assert ran == [job.id for job in (first, to_release, old, new, chained, held, to_hold)]
    assert set((await _moves(bus)).values()) == {1}


async def test_what_was_let_go_unknown_to_the_table_leaves_the_queue_when_it_goes(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, client: Client
) -> None:
    runner.decide = lambda _: Outcome(exit_code=None)
    settings.scheduler.limits = Limits(running_per_user=1)
    user = User(bus)
    async with run_scheduler(settings):
        first, waits = await user.submit(), await user.submit()
        await user.until(first.id, S.RUNNING)
        # As if it had been let go right after the backup: the log tells nothing of that.
        job, queue = JobInput(workload_id=waits.id, walltime=60), settings.scheduler.temporal.task_queue
        await client.start_workflow(JobWorkflow.run, job, id=waits.id, task_queue=queue)
        await user.until(waits.id, S.RUNNING)
        await user.cancel(waits.id)
        ended = await user.until(waits.id)
        assert (ended.state, ended.started_at is None) == (S.CANCELED, False)
        last = await user.submit()
        await _end(runner, first.id)
        await user.until(last.id, S.RUNNING)
        assert await query(settings.database_url, "SELECT id FROM waiting") == []
        await _end(runner, last.id)
        await user.until(last.id)
    assert [task.workload_id for task in runner.tasks] == [first.id, waits.id, last.id]


async def _finish(runner: FakeRunner, run: str, *indices: int) -> None:
    """End tasks of a bundle; without *indices* all that are left, and the bundle."""
    task = runner.running[run]
    assert task.bundle
    done = indices or tuple(Ranges.parse(task.bundle.indices))
    steps = [Step(step=StepName.TASKS, at=now(), tasks=[task_fact(task.bundle, index, 0) for index in done])]
    if not indices:
        del runner.running[run]
        steps.append(Step(step=StepName.DONE, at=now(), reason=Reason.EXITED))
    await runner.report(task, *steps)


def _fails_once(task: RunTask, index: int) -> int | None:
    assert task.bundle
    return None if index in {7, 23} else int(index == 11 and index not in task.bundle.attempts)


@pytest.mark.parametrize("lost", [False, True], ids=["older", "lost"])
async def test_tasks_of_arrays_are_brought_forward_and_none_runs_twice(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, client: Client, *, lost: bool
) -> None:
    settings.scheduler.watch.silence = 1.0
    runner.decide_task = lambda _task, _index: None
    user = User(bus)
    async with run_scheduler(settings):
        old = await user.submit(array={"count": 50})
        await user.until_counts(old.id, running=50)
        backup = await dump(settings.database_url)
        await _finish(runner, f"{old.id}.1")
        await _finish(runner, f"{old.id}.2", 5, 6)
        await user.until_counts(old.id, running=44)
        runner.decide_task = _fails_once
        items = [f"word {number}" for number in range(50)]
        new = await user.submit(argv=["echo", "{item}"], array={"items": items}, retries={"max": 1, "backoff": 0.05})
        narrow = await user.submit(array={"count": 50, "max_running": 2})
        waits = await user.submit(array={"items": items}, hold=True, argv=["echo", "{item}"])
        await user.cancel_tasks(waits.id, "10-19")
        await user.until_counts(new.id, running=2, succeeded=48)
        await user.until_counts(narrow.id, running=2, failed=1, succeeded=21)
        await user.cancel_tasks(narrow.id, "49")
        ended = await user.until((await user.submit(array={"count": 3})).id)
        jobs = [old, new, narrow, waits, ended]
        before = {job.id: (await user.get(job.id), await user.tasks(job.id)) for job in jobs}
        await _until_said(settings)
    told = await _moves(bus)
    await client.get_workflow_handle(new.id).terminate(reason="a test")
    await (lose(settings.database_url) if lost else restore(settings.database_url, backup))
    async with run_scheduler(settings):
        await user.until(old.id, S.RUNNING)
        assert {job.id: (await user.get(job.id), await user.tasks(job.id)) for job in jobs} == before
        assert await _moves(bus) == told
        runner.decide_task = lambda _task, _index: 0
        await user.start(waits.id)
        for run in list(runner.running):
            await _finish(runner, run)
        for job in (old, new):
            assert (await user.until(job.id)).state is S.SUCCEEDED
        counts = [(await user.until(job.id)).tasks for job in (old, new, narrow, waits)]
        found = [(each.succeeded, each.failed, each.canceled) for each in counts if each]
        assert found == [(50, 0, 0), (50, 0, 0), (48, 1, 1), (40, 0, 10)]
        assert [task.item for task in await user.tasks(waits.id)] == items
    ran = Counter(
        (task.workload_id, index, task.bundle.attempts.get(index, 1))
        for task in runner.tasks
        if task.bundle
        for index in Ranges.parse(task.bundle.indices)
    )
    assert set(ran.values()) == {1}
    assert len(ran) == 50 + 51 + 49 + 40 + 3
    assert set((await _moves(bus)).values()) == {1}


def _shown(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule without the moments at which its runs began: told is when they were submitted."""
    return schedule.model_dump(exclude={"recent_runs": {"__all__": {"at"}}})


@pytest.mark.parametrize("lost", [False, True], ids=["older", "lost"])
async def test_batches_and_schedules_are_brought_forward(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, *, lost: bool
) -> None:
    user, keeper = User(bus), Keeper(bus)
    jobs = [{"key": "one", "argv": ["true"]}, {"key": "two", "argv": ["true"], "after": [{"key": "one"}]}]
    create = CreateBatch(
        batch_id=workload_id("bat"), principal=ADA, spec=BatchSpec.model_validate({"name": "both", "jobs": jobs})
    )
    look = GetBatch(principal=ADA, batch_id=create.batch_id)
    async with run_scheduler(settings):
        changed, gone = await keeper.create(name="old", paused=True), await keeper.create(name="gone", paused=True)
        backup = await dump(settings.database_url)
        await keeper.replace(changed.id, name="new", paused=True, every="200d")
        await keeper.delete(gone.id)
        fresh = await keeper.create(name="fresh", paused=True, request_hash="a")
        runs = [await keeper.trigger(schedule) for schedule in (changed.id, fresh.id, fresh.id)]
        await bus.order(create, Context.start("user:ada"), wait=10, answer=Batch)
        made: Batch = await bus.ask(look)
        ids = [member.job_id for member in made.jobs] + [run.job_id for run in runs]
        found = [await user.until(job) for job in ids]
        before = [_shown(await keeper.get(one.id)) for one in (changed, fresh)], await bus.ask(look)
        await _until_said(settings)
    await (lose(settings.database_url) if lost else restore(settings.database_url, backup))
    async with run_scheduler(settings):
        assert [await user.until(job) for job in ids] == found
        assert ([_shown(await keeper.get(one.id)) for one in (changed, fresh)], await bus.ask(look)) == before
        with pytest.raises(NotFoundError):
            await keeper.get(gone.id)
        again = await keeper.create(fresh.id, name="fresh", paused=True, request_hash="a")
        with pytest.raises(MismatchError):
            await keeper.create(fresh.id, name="other", request_hash="b")
        assert again.runs == 2
    assert sorted(task.workload_id for task in runner.tasks) == sorted(ids)
