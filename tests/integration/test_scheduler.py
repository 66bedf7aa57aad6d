"""The scheduler on a real NATS and a real Temporal, with a runner that pretends."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConflictError, InvalidError, MismatchError, NotFoundError, UnavailableError
from contracts.ids import workload_id
from contracts.runs import RunReport, RunTask
from contracts.states import Reason, WorkloadState
from services.chassis.bus import Bus, Delivery
from services.chassis.settings import NatsSettings
from services.scheduler.activities.job import JobActivities
from services.scheduler.backends.base import Backend, NativeJob, Observation
from services.scheduler.backends.local import LocalBackend
from services.scheduler.records import Record
from services.scheduler.reports import ReportService
from services.scheduler.settings import SchedulerSettings
from services.scheduler.workflows.words import AttemptRef
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import EVE, User, run_scheduler, scheduler_settings

S = WorkloadState


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=0.3)


async def test_a_job_runs_to_its_end(user: User) -> None:
    accepted = await user.submit(name="hello")
    assert (accepted.state, accepted.owner, accepted.project) == (S.ACCEPTED, "ada", "demo")
    job = await user.until(accepted.id)
    assert (job.state, job.exit_code, job.attempt, job.backend) == (S.SUCCEEDED, 0, 1, "local")
    assert job.usage
    assert job.usage.cpu_seconds == 0.25
    moves = (await user.history(job.id)).transitions
    assert [move.state for move in moves] == [S.ACCEPTED, S.QUEUED, S.RUNNING, S.FINISHING, S.SUCCEEDED]
    assert [move.revision for move in moves] == [1, 2, 3, 4, 5]
    assert [move.at for move in moves] == sorted(move.at for move in moves)


async def test_an_attempt_that_another_scheduler_handed_over_meanwhile_is_not_handed_over_again(
    user: User, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose, others = JobActivities._choose, count()
    runner.decide = lambda _: Outcome(exit_code=None)

    async def choose_slowly(jobs: JobActivities, row: Record, ref: AttemptRef) -> Backend | None:
        if next(others) == 0:
            await jobs.submit_attempt(ref)
            await user.until(ref.workload_id, S.RUNNING)
        return await choose(jobs, row, ref)

    monkeypatch.setattr(JobActivities, "_choose", choose_slowly)
    job = await user.submit()
    await user.until(job.id, S.RUNNING)
    await user.cancel(job.id)
    await user.until(job.id)
    moves = (await user.history(job.id)).transitions
    assert [move.state for move in moves] == [S.ACCEPTED, S.QUEUED, S.RUNNING, S.FINISHING, S.CANCELED]
    assert len(runner.tasks) == 1


async def test_a_job_that_exits_with_3_has_failed(user: User, runner: FakeRunner) -> None:
    runner.decide = lambda _: Outcome(exit_code=3)
    job = await user.until((await user.submit()).id)
    assert (job.state, job.exit_code, job.reason) == (S.FAILED, 3, Reason.EXITED)


async def test_a_failed_attempt_is_retried_as_often_as_asked(user: User, runner: FakeRunner) -> None:
    runner.decide = lambda task: Outcome(exit_code=0 if task.attempt == 3 else 1)
    job = await user.until((await user.submit(retries={"max": 2, "backoff": 0})).id)
    assert (job.state, job.attempt) == (S.SUCCEEDED, 3)
    assert [task.attempt for task in runner.tasks] == [1, 2, 3]


async def test_a_running_job_is_canceled_once_the_runner_says_so(user: User, runner: FakeRunner) -> None:
    runner.decide = lambda _: Outcome(exit_code=None)
    job = await user.submit()
    await user.until(job.id, S.RUNNING)
    assert (await user.cancel(job.id)).cancel_requested
    ended = await user.until(job.id)
    assert (ended.state, ended.reason) == (S.CANCELED, Reason.CANCELED)
    assert not runner.running
    assert (await user.cancel(job.id)).state is S.CANCELED


async def test_a_held_job_waits_for_its_start(user: User, runner: FakeRunner) -> None:
    job = await user.submit(hold=True)
    await user.until(job.id, S.HELD)
    assert not runner.tasks
    await user.start(job.id)
    assert (await user.until(job.id)).state is S.SUCCEEDED


async def test_a_held_job_can_be_canceled(user: User, runner: FakeRunner) -> None:
    job = await user.submit(hold=True)
    await user.cancel(job.id)
    assert (await user.until(job.id)).state is S.CANCELED
    assert not runner.tasks


async def test_a_queued_job_is_canceled_although_no_runner_is_there(user: User, runner: FakeRunner) -> None:
    await runner.stop()
    job = await user.submit()
    await user.until(job.id, S.QUEUED)
    await user.cancel(job.id)
    assert (await user.until(job.id)).state is S.CANCELED


async def test_what_has_ended_cannot_be_canceled(user: User) -> None:
    job = await user.until((await user.submit()).id)
    with pytest.raises(ConflictError):
        await user.cancel(job.id)


async def test_the_same_identifier_and_request_is_the_same_job(user: User, runner: FakeRunner) -> None:
    name = workload_id()
    first = await user.submit(name, "hash")
    again = await user.submit(name, "hash")
    assert first.id == again.id
    await user.until(name)
    assert len(runner.tasks) == 1
    with pytest.raises(MismatchError):
        await user.submit(name, "another")


async def test_a_repeated_request_is_the_same_job_though_it_would_be_refused_by_now(user: User) -> None:
    name = workload_id()
    first = await user.submit(name, "hash")
    again = await user.submit(name, "hash", placement={"backend": "gone-since"})
    assert (again.id, again.spec.placement) == (first.id, first.spec.placement)
    with pytest.raises(InvalidError):
        await user.submit(workload_id(), "hash", placement={"backend": "gone-since"})


async def test_a_request_that_comes_twice_at_once_is_one_job(user: User, runner: FakeRunner) -> None:
    name = workload_id()
    both = await asyncio.gather(user.submit(name, "hash"), user.submit(name, "hash"))
    assert {job.id for job in both} == {name}
    await user.until(name)
    assert len(runner.tasks) == 1


async def test_what_is_not_yours_does_not_exist(user: User, bus: Bus) -> None:
    job = await user.submit()
    stranger = User(bus, EVE)
    for act in (stranger.get, stranger.history, stranger.cancel):
        with pytest.raises(NotFoundError):
            await act(job.id)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"placement": {"backend": "nowhere"}}, "placement.backend"),
        ({"resources": {"cpus": 64}}, "resources.cpus"),
        ({"resources": {"memory": "1TiB"}}, "resources.memory"),
        ({"resources": {"gpus": {"count": 1}}}, "resources.gpus.count"),
        ({"resources": {"nodes": 2}}, "resources.nodes"),
        ({"image": "busybox"}, "image"),
        ({"project": "secret"}, "project"),
    ],
)
async def test_what_can_never_run_is_refused_with_the_field(user: User, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        await user.submit(**spec)
    assert [error.field for error in caught.value.errors] == [field]


async def test_an_attempt_that_its_backend_forgot_is_lost_and_runs_again(user: User, runner: FakeRunner) -> None:
    runner.decide = lambda task: Outcome(exit_code=None if task.attempt == 1 else 0)
    job = await user.submit()
    await user.until(job.id, S.RUNNING)
    runner.running.clear()
    ended = await user.until(job.id)
    assert (ended.state, ended.attempt) == (S.SUCCEEDED, 2)
    moves = (await user.history(job.id)).transitions
    closed = [(move.attempt, move.state) for move in moves if move.usage]
    assert closed == [(1, S.FINISHING), (2, S.FINISHING)]


@pytest.fixture
def missed(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once the backend was asked twice for an attempt of which it knows nothing."""
    observe, missed, misses = LocalBackend.observe, asyncio.Event(), count(1)

    async def note(backend: LocalBackend, job: NativeJob) -> Observation | None:
        found = await observe(backend, job)
        if found is None and next(misses) == 2:
            missed.set()
        return found

    monkeypatch.setattr(LocalBackend, "observe", note)
    return missed


async def test_an_attempt_that_is_handed_over_late_is_not_lost(
    user: User, runner: FakeRunner, missed: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over = LocalBackend.submit

    async def hand_over_late(backend: LocalBackend, task: RunTask) -> None:
        if not missed.is_set():
            raise UnavailableError("NATS does not answer")
        await hand_over(backend, task)

    monkeypatch.setattr(LocalBackend, "submit", hand_over_late)
    runner.decide = lambda _: Outcome(exit_code=None)
    job = await user.submit()
    await user.until(job.id, S.RUNNING)
    await asyncio.sleep(0.5)
    await runner.report(runner.running[f"{job.id}.1"], *runner.end_of(Outcome()))
    ended = await user.until(job.id)
    assert (ended.state, ended.attempt, len(runner.tasks)) == (S.SUCCEEDED, 1, 1)


async def test_a_restarted_scheduler_goes_on_with_jobs_in_flight(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    runner.decide = lambda _: Outcome(exit_code=None)
    user = User(bus)
    async with run_scheduler(settings):
        job = await user.submit()
        await user.until(job.id, S.RUNNING)
    task = runner.running[f"{job.id}.1"]
    await runner.report(task, *runner.end_of(Outcome()))
    runner.decide = lambda _: Outcome()
    async with run_scheduler(settings):
        assert (await user.until(job.id)).state is S.SUCCEEDED
        assert (await user.until((await user.submit()).id)).state is S.SUCCEEDED
    assert len(runner.tasks) == 2


async def test_a_job_whose_end_was_not_read_yet_is_not_lost_though_its_runner_has_forgotten_it(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, missed: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, user = ReportService.take, User(bus)
    runner.decide = lambda _: Outcome(exit_code=None)
    async with run_scheduler(settings):
        job = await user.submit()
        await user.until(job.id, S.RUNNING)
    await runner.report(runner.running.pop(f"{job.id}.1"), *runner.end_of(Outcome()))

    async def read_late(reports: ReportService, report: RunReport, delivery: Delivery) -> None:
        await missed.wait()
        await asyncio.sleep(0.2)
        await read(reports, report, delivery)

    monkeypatch.setattr(ReportService, "take", read_late)
    async with run_scheduler(settings):
        ended = await user.until(job.id)
    assert (ended.state, ended.attempt, len(runner.tasks)) == (S.SUCCEEDED, 1, 1)
