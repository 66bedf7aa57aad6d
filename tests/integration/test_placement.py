"""Several backends: fail-over, drain, policies by project, and a file of settings that changes while work runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from contracts.backends import BackendState, BackendView, DrainBackend, ListBackends, ResumeBackend
from contracts.envelope import Context
from contracts.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from contracts.explanations import Why
from contracts.placements import PlacementView, PlaceWorkload, Start
from contracts.queries import ListWorkloads, WorkloadPage
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from contracts.subjects import event_subject
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.placing.settings import PlacementSettings
from services.scheduler.settings import BackendSettings, QueueSettings, SchedulerSettings
from tests.support.databases import lose
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import ADA, ADMIN, User, run_scheduler, scheduler_settings

S = WorkloadState
LIST = {"order": "ordered", "backends": ["local", "second"]}
WHOLE: dict[str, Any] = {"resources": {"cpus": 4}}
"""As much as a runner has."""

_LONG = Outcome(exit_code=None)


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return _with(scheduler_settings(tmp_path, nats, temporal), policy={})


def _with(settings: SchedulerSettings, *, policy: dict[str, Any], **second: Any) -> SchedulerSettings:
    """Return settings with a second backend and a policy for all."""
    changes = {
        "backends": [BackendSettings(), BackendSettings.model_validate({"name": "second", **second})],
        "placement": PlacementSettings.model_validate({"default": policy}),
        "reread": 0.05,
    }
    return settings.model_copy(update={"scheduler": settings.scheduler.model_copy(update=changes)})


@asynccontextmanager
async def _runners(nats: NatsSettings, **second: Any) -> AsyncIterator[tuple[FakeRunner, FakeRunner]]:
    """Serve both backends; jobs that are called `long` run until they are ended."""

    def decide(task: Any) -> Outcome:
        return _LONG if task.job_name == "long" else Outcome()

    first, other = FakeRunner(nats, decide=decide), FakeRunner(nats, decide=decide, backend="second")
    for name, value in second.items():
        setattr(first, name, value)
    await first.start()
    await other.start()
    try:
        yield first, other
    finally:
        await first.stop()
        await other.stop()


async def _end(runner: FakeRunner, job: str, attempt: int = 1) -> None:
    await runner.report(runner.running.pop(f"{job}.{attempt}"), *runner.end_of(Outcome()))


async def _drain(bus: Bus, name: str, who: Any = ADMIN, message: str = "") -> BackendView:
    command = DrainBackend(principal=who, backend=name, message=message)
    view: BackendView = await bus.order(command, Context.start("user:root"), wait=10, answer=BackendView)
    return view


async def _resume(bus: Bus, name: str, who: Any = ADMIN) -> BackendView:
    command = ResumeBackend(principal=who, backend=name)
    view: BackendView = await bus.order(command, Context.start("user:root"), wait=10, answer=BackendView)
    return view


async def _place(bus: Bus, **spec: Any) -> PlacementView:
    asked = JobSpec.model_validate({"argv": ["true"], **spec})
    view: PlacementView = await bus.ask(PlaceWorkload(principal=ADA, spec=asked))
    return view


# --- fail-over --------------------------------------------------------------------------------------------------


async def test_what_a_backend_refuses_goes_to_the_next_one(
    settings: SchedulerSettings, nats: NatsSettings, bus: Bus
) -> None:
    refuse = Outcome(reason=Reason.REFUSED, message="no such image")
    async with run_scheduler(_with(settings, policy=LIST)), _runners(nats, decide=lambda _task: refuse):
        await _until_named(bus, "local", "second")
        user = User(bus)
        ended = await user.until((await user.submit()).id)
        assert (ended.state, ended.backend, ended.attempt) == (S.SUCCEEDED, "second", 2)
        moves = (await user.history(ended.id)).transitions
        assert "local refuses it: no such image" in [move.message.removeprefix("attempt 1: ") for move in moves]
        # There is no other for what names it.
        alone = await user.until((await user.submit(placement={"backend": "local"})).id)
        assert (alone.state, alone.reason, alone.message) == (S.FAILED, Reason.REFUSED, "no such image")


async def test_what_nobody_begins_with_is_taken_back_and_runs_elsewhere_once(
    settings: SchedulerSettings, nats: NatsSettings, bus: Bus
) -> None:
    policy = {**LIST, "patience": 0.5}
    async with run_scheduler(_with(settings, policy=policy)), _runners(nats, takes=False) as (first, second):
        await _until_named(bus, "local", "second")
        user = User(bus)
        jobs = [(await user.submit()).id for _ in range(8)]
        ended = await asyncio.gather(*(user.until(job) for job in jobs))
        assert {(one.state, one.backend) for one in ended} == {(S.SUCCEEDED, "second")}
        assert sorted(task.workload_id for task in second.tasks) == sorted(jobs)
        # Nothing of them is left where they lay first.
        late = FakeRunner(nats)
        await late.start()
        await asyncio.sleep(0.3)
        await late.stop()
        assert not late.tasks
        assert not first.tasks


async def test_what_has_been_everywhere_goes_round_again(
    settings: SchedulerSettings, nats: NatsSettings, bus: Bus
) -> None:
    policy = {**LIST, "patience": 3.0}
    async with run_scheduler(_with(settings, policy=policy)), _runners(nats, takes=False) as (_first, second):
        await _until_named(bus, "local", "second")
        second.takes = False
        await second.stop()
        await second.start()
        user = User(bus)
        job = (await user.submit()).id
        while (seen := await user.get(job)).backend != "second" or seen.state is not S.QUEUED:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert (seen.state, seen.attempt) == (S.QUEUED, 2)
        late = FakeRunner(nats)
        await late.start()
        ended = await user.until(job)
        assert (ended.state, ended.backend, ended.attempt) == (S.SUCCEEDED, "local", 3)
        assert [task.attempt for task in late.tasks] == [3]
        await late.stop()


async def test_a_backend_that_does_not_answer_is_passed_over(
    settings: SchedulerSettings, nats: NatsSettings, bus: Bus
) -> None:
    second = FakeRunner(nats, backend="second")
    await second.start()
    async with run_scheduler(_with(settings, policy=LIST)):
        await _until_named(bus, "local", "second")
        user = User(bus)
        ended = await user.until((await user.submit()).id)
        assert (ended.state, ended.backend, ended.attempt) == (S.SUCCEEDED, "second", 1)
    await second.stop()


# --- drain ------------------------------------------------------------------------------------------------------


async def test_a_drained_backend_gets_no_new_work_and_finishes_what_it_has(
    settings: SchedulerSettings, nats: NatsSettings, bus: Bus
) -> None:
    configured = _with(settings, policy=LIST)
    async with _runners(nats) as (first, _second):
        async with run_scheduler(configured):
            user = User(bus)
            running = (await user.submit(name="long")).id
            await user.until(running, S.RUNNING)
            view = await _drain(bus, "local", message="new disks")
            assert (view.state, view.drain and view.drain.by) == (BackendState.DRAINING, "root")
            assert (await user.until((await user.submit()).id)).backend == "second"
            waits = (await user.submit(placement={"backend": "local"})).id
            explained = await user.explain(waits)
            assert (explained.why, "drained by root" in explained.message) == (Why.BACKEND_AWAY, True)
            placed = await _place(bus)
            told = next(one for one in placed.candidates if one.backend == "local")
            assert (placed.backend, told.ready, "new disks" in told.reason) == ("second", False, True)
            await _end(first, running)
            assert (await user.until(running)).state is S.SUCCEEDED
        async with run_scheduler(configured):  # it is known after a restart too
            await user.until(waits, S.ACCEPTED)
            assert (await _until_named(bus, "local", "second"))[0].state is BackendState.DRAINING
            await _resume(bus, "local")
            assert (await user.until(waits)).state is S.SUCCEEDED


async def test_what_is_retried_waits_while_all_are_drained_and_can_be_canceled(
    settings: SchedulerSettings, nats: NatsSettings, bus: Bus
) -> None:
    async with run_scheduler(settings), _runners(nats) as (first, second):
        user = User(bus)
        job = (await user.submit(name="long", retries={"max": 1, "backoff": 0})).id
        placed = await user.until(job, S.RUNNING)
        for name in ("local", "second"):
            await _drain(bus, name)
        runner = first if placed.backend == "local" else second
        await runner.report(runner.running.pop(f"{job}.1"), *runner.end_of(Outcome(exit_code=1)))
        await user.until(job, S.FINISHING)
        await asyncio.sleep(0.3)
        assert (await user.get(job)).attempt == 1
        await user.cancel(job)
        assert (await user.until(job)).state is S.CANCELED


async def test_a_table_that_got_lost_learns_from_the_log_who_is_drained(settings: SchedulerSettings, bus: Bus) -> None:
    async with run_scheduler(settings):
        await _until_named(bus, "local", "second")
        for name in ("local", "second"):
            await _drain(bus, name, message="new disks")
        await _resume(bus, "second")
        await asyncio.sleep(0.5)  # the relay says it
    await lose(settings.database_url)
    async with run_scheduler(settings):
        views = await _until_named(bus, "local", "second")
        assert [view.state is BackendState.DRAINING for view in views] == [True, False]
        assert views[0].drain
        assert (views[0].drain.by, views[0].drain.message) == ("root", "new disks")


async def test_only_operators_drain_what_there_is(settings: SchedulerSettings, bus: Bus) -> None:
    async with run_scheduler(_with(settings, policy={}, drain=True)):
        with pytest.raises(ForbiddenError):
            await _drain(bus, "local", ADA)
        with pytest.raises(ForbiddenError):
            await _resume(bus, "local", ADA)
        with pytest.raises(NotFoundError, match="there are: local, second"):
            await _drain(bus, "nowhere")
        with pytest.raises(ConflictError, match="take it out there"):
            await _resume(bus, "second")


# --- where it would go ------------------------------------------------------------------------------------------


async def test_a_dry_run_says_where_it_would_go_and_of_each_other_why_not(
    settings: SchedulerSettings, nats: NatsSettings, bus: Bus
) -> None:
    configured = _with(settings, policy={"order": "cheapest"}, cost=2.0, walltime="2h", site="campus")
    async with run_scheduler(configured), _runners(nats):
        await _until_named(bus, "local", "second")
        cheap = await _place(bus)
        assert (cheap.backend, cheap.start, [one.cost for one in cheap.candidates]) == ("local", Start.NOW, [None, 2.0])
        assert [one.reason for one in cheap.candidates[1:]] == ["it costs 2, local 0"]
        there = await _place(bus, placement={"sites": ["campus"]})
        assert (there.backend, there.candidates[1].field) == ("second", "placement.sites")
        named = await _place(bus, placement={"backend": "second"}, hold=True)
        assert (named.start, "held" in named.why) == (Start.LATER, True)
        never = await _place(bus, resources={"cpus": 99})
        assert (never.backend, never.start) == (None, Start.NEVER)
        assert [(one.backend, one.field, one.fits) for one in never.candidates] == [
            ("local", "resources.cpus", False),
            ("second", "resources.cpus", False),
        ]
        page: WorkloadPage = await bus.ask(ListWorkloads(principal=ADA))
        assert page.items == []
        with pytest.raises(InvalidError, match="not a member"):
            await _place(bus, project="other")


async def test_explain_says_of_what_waits_why_it_does_not_go_elsewhere(
    settings: SchedulerSettings, nats: NatsSettings, bus: Bus
) -> None:
    async with run_scheduler(_with(settings, policy={}, walltime="1m")), _runners(nats, takes=False):
        user = User(bus)
        await _drain(bus, "local")
        job = (await user.submit()).id
        elsewhere = (await user.explain(job)).evidence["elsewhere"]
        assert elsewhere == ["second: resources.walltime: 3600 s asked, 'second' gives 60 s"]


# --- a file that changes ----------------------------------------------------------------------------------------


class _File:
    """The file of settings."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *backends: dict[str, Any], **placement: Any) -> None:
        said = {"backends": list(backends), **({"placement": placement} if placement else {})}
        self.put(yaml.safe_dump({"scheduler": said}))

    def put(self, text: str) -> None:
        draft = self.path.with_suffix(".new")
        draft.write_text(text)
        draft.rename(self.path)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _File:
    found = _File(tmp_path / "site.yaml")
    found.write({"name": "local"})
    monkeypatch.setenv("SHUNTER_CONFIG", str(found.path))
    return found


def _alone(settings: SchedulerSettings) -> SchedulerSettings:
    changes = {"backends": [BackendSettings()], "queue": QueueSettings(ahead=0, at_least=0)}
    return settings.model_copy(update={"scheduler": settings.scheduler.model_copy(update=changes)})


async def _until_named(bus: Bus, *names: str) -> list[BackendView]:
    async with asyncio.timeout(10):
        while True:
            with suppress(UnavailableError):  # it is starting
                views: list[BackendView] = await bus.ask(ListBackends(principal=ADA))
                if [view.backend for view in views] == list(names):
                    return views
            await asyncio.sleep(0.05)


async def test_backends_come_and_go_while_work_runs(
    settings: SchedulerSettings, nats: NatsSettings, bus: Bus, file: _File
) -> None:
    async with _runners(nats) as (first, second):
        async with run_scheduler(_alone(settings)):
            user = User(bus)
            running = (await user.submit(name="long", **WHOLE)).id
            await user.until(running, S.RUNNING)
            waits = (await user.submit(name="long", **WHOLE)).id
            await asyncio.sleep(0.2)
            assert (await user.get(waits)).state is S.ACCEPTED
            # What waits goes to the new one, though it came before that was there.
            file.write({"name": "local"}, {"name": "second", "site": "campus"})
            assert (await user.until(waits, S.RUNNING)).backend == "second"
            file.write({"name": "local"})
            await _until_named(bus, "local")
            with pytest.raises(InvalidError, match="there are: local"):
                await user.submit(placement={"backend": "second"})
            await _end(second, waits)
            assert (await user.until(waits)).state is S.SUCCEEDED
            file.write({"name": "local"}, {"name": "second"})
            await _until_named(bus, "local", "second")
            last = (await user.submit(name="long", placement={"backend": "second"})).id
            await user.until(last, S.RUNNING)
            file.write({"name": "local"})
            await _until_named(bus, "local")
        async with run_scheduler(_alone(settings)):  # whoever begins now never saw the second one
            await user.until(last, S.RUNNING)
            await user.cancel(last)
            assert (await user.until(last)).state is S.CANCELED
            await _end(first, running)
            assert (await user.until(running)).state is S.SUCCEEDED


async def test_a_broken_edit_changes_nothing_and_is_told(settings: SchedulerSettings, bus: Bus, file: _File) -> None:
    async with run_scheduler(_alone(settings)):
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def hear(message: Any) -> None:
            await heard.put(message.data.decode())

        await bus.connection.subscribe(event_subject("backends"), cb=hear)
        await _until_named(bus, "local")
        file.put("scheduler:\n  backends:\n    - name: local\n    - name: second\n      walltme: 2h\n")
        async with asyncio.timeout(10):
            told = await heard.get()
        assert "walltme" in told
        assert '"line":' in told
        assert REGISTRY.get_sample_value("shunter_backends_faults") == 1
        await _until_named(bus, "local")
        file.write({"name": "local"}, {"name": "second"})
        await _until_named(bus, "local", "second")
        assert REGISTRY.get_sample_value("shunter_backends_faults") == 0
