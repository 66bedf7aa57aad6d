"""A scheduler whose table or Temporal is older than the rest of the world makes them agree; nothing runs twice."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from contracts.envelope import Envelope, type_of
from contracts.events import WorkloadMoved, WorkloadTasksMoved
from contracts.operations import Diagnosis
from contracts.queries import Diagnose
from contracts.states import WorkloadState
from contracts.subjects import event_subject
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import Limits, SchedulerSettings
from services.scheduler.temporal import connect
from services.scheduler.workflows.job import JobWorkflow
from services.scheduler.workflows.words import JobInput
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import User, run_scheduler, scheduler_settings

S = WorkloadState


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=60, compare=0.2, settled=0.0)


@pytest_asyncio.fixture
async def bus(nats: NatsSettings) -> AsyncIterator[Bus]:
    bus = Bus(nats, "test")
    await bus.connect()
    yield bus
    await bus.stop()


@pytest_asyncio.fixture
async def runner(nats: NatsSettings, bus: Bus) -> AsyncIterator[FakeRunner]:
    runner = FakeRunner(nats)
    await runner.start()
    yield runner
    await runner.stop()


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


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _lose(database: Path) -> None:
    for path in database.parent.glob("scheduler.db*"):
        path.unlink()


def _put_back(backup: Path, database: Path) -> None:
    _lose(database)
    _copy(backup, database)


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
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, tmp_path: Path
) -> None:
    runner.decide = lambda task: Outcome(exit_code=None if task.argv == ["sleep"] else 0)
    user, database = User(bus), tmp_path / "db" / "scheduler.db"
    async with run_scheduler(settings):
        known = await user.submit(argv=["sleep"])
        goes_on = await user.submit(argv=["sleep"])
        for job in (known, goes_on):
            await user.until(job.id, S.RUNNING)
        _copy(database, tmp_path / "backup.db")
        later = await user.submit(name="later")
        await user.until(later.id)
        await _end(runner, known.id)
        await user.until(known.id)
        before = {job.id: (await user.history(job.id)).transitions for job in (known, goes_on, later)}
    _put_back(tmp_path / "backup.db", database)
    async with run_scheduler(settings):
        for job in (known, later):
            assert (await user.until(job.id)).state is S.SUCCEEDED
            assert (await user.history(job.id)).transitions == before[job.id]
        assert (await user.get(goes_on.id)).state is S.RUNNING
        await _end(runner, goes_on.id)
        assert (await user.until(goes_on.id)).state is S.SUCCEEDED
    assert len(runner.tasks) == 3


async def test_a_lost_table_is_rebuilt_from_the_event_log(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, tmp_path: Path
) -> None:
    user = User(bus)
    async with run_scheduler(settings):
        job = await user.submit(name="known", labels={"a": "b"})
        ended = await user.until(job.id)
    _lose(tmp_path / "db" / "scheduler.db")
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
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, tmp_path: Path
) -> None:
    runner.decide = lambda task: Outcome(exit_code=None if task.argv == ["sleep"] else 0)
    settings.scheduler.limits = Limits(running_per_user=1)
    user, database = User(bus), tmp_path / "db" / "scheduler.db"
    async with run_scheduler(settings):
        first = await user.submit(argv=["sleep"])
        await user.until(first.id, S.RUNNING)
        to_cancel, to_hold = await user.submit(), await user.submit()
        to_release = await user.submit(argv=["sleep"], hold=True)
        old = await user.submit(after=[{"job": first.id}])
        _copy(database, tmp_path / "backup.db")
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
    told = await _moves(bus)
    _put_back(tmp_path / "backup.db", database)
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
