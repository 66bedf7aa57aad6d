"""The scheduler's own queue: turns, limits, moments, chains, hold and release, and a restart in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.errors import ConflictError, InvalidError, NotFoundError, OverQuotaError
from contracts.explanations import Why
from contracts.ids import workload_id
from contracts.model import now
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.states import Reason, WorkloadState
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import Limits, QueueSettings, SchedulerSettings
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import BOB, EVE, User, freezing, run_scheduler, scheduler_settings

S = WorkloadState
WHOLE: dict[str, Any] = {"resources": {"cpus": 4}}
"""As much as the runner has: such jobs run one at a time."""


def _with(settings: SchedulerSettings, **changes: Any) -> SchedulerSettings:
    return settings.model_copy(update={"scheduler": settings.scheduler.model_copy(update=changes)})


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    found = scheduler_settings(tmp_path, nats, temporal)
    return _with(found, queue=QueueSettings(ahead=0, at_least=0))  # nothing beyond the room there is


@pytest_asyncio.fixture
async def runner(nats: NatsSettings, bus: Bus) -> AsyncIterator[FakeRunner]:
    runner = FakeRunner(nats, decide=lambda task: Outcome(exit_code=None if task.job_name == "long" else 0))
    await runner.start()
    yield runner
    await runner.stop()


async def _run_long(user: User, **spec: Any) -> str:
    """Have a job run until it is ended; it takes the whole runner."""
    job = (await user.submit(name="long", **{**WHOLE, **spec})).id
    await user.until(job, S.RUNNING)
    return job


async def _end(runner: FakeRunner, job: str, outcome: Outcome | None = None) -> None:
    task = runner.running.pop(f"{job}.1")
    await runner.report(task, *runner.end_of(outcome or Outcome()))


def _order(runner: FakeRunner) -> list[str]:
    return [task.workload_id for task in runner.tasks]


async def test_what_waits_goes_by_priority_and_users_take_turns(user: User, bus: Bus, runner: FakeRunner) -> None:
    bob = User(bus, BOB)
    long = await _run_long(user)
    low = (await user.submit(priority=-1, **WHOLE)).id
    many = [(await user.submit(**WHOLE)).id for _ in range(3)]
    his = [(await bob.submit(**WHOLE)).id for _ in range(2)]
    urgent = (await bob.submit(priority=5, **WHOLE)).id
    explained = await user.explain(many[2])
    assert (explained.why, explained.position) == (Why.TURN, 1 + 1 + 2 + 2)
    assert (await bob.explain(urgent)).why is Why.BACKEND_FULL
    assert runner.tasks[1:] == []
    await _end(runner, long)
    await asyncio.gather(*(user.until(job) for job in (low, *many)), *(bob.until(job) for job in (*his, urgent)))
    order = _order(runner)[1:]
    assert (order[0], order[-1]) == (urgent, low)
    assert [job for job in order if job in many] == many
    assert order.index(his[0]) < order.index(many[1])
    assert order.index(his[1]) < order.index(many[2])


async def test_no_more_run_than_a_user_may(settings: SchedulerSettings, bus: Bus, runner: FakeRunner) -> None:
    async with run_scheduler(_with(settings, limits=Limits(running_per_user=1, waiting_per_user=1))):
        user, bob = User(bus), User(bus, BOB)
        first = await _run_long(user, resources={"cpus": 1})
        second = await user.submit(resources={"cpus": 1})
        explained = await user.explain(second.id)
        assert (explained.why, explained.evidence["limit"]) == (Why.USER_LIMIT, 1)
        with pytest.raises(OverQuotaError):
            await user.submit()
        # Others have room.
        assert (await bob.until((await bob.submit()).id)).state is S.SUCCEEDED
        await _end(runner, first)
        assert (await user.until(second.id)).state is S.SUCCEEDED


async def test_no_more_run_than_a_project_may(settings: SchedulerSettings, bus: Bus, runner: FakeRunner) -> None:
    async with run_scheduler(_with(settings, limits=Limits(running_per_project=1))):
        user, bob = User(bus), User(bus, BOB)
        first = await _run_long(user, resources={"cpus": 1})
        second = await bob.submit()
        assert (await bob.explain(second.id)).why is Why.PROJECT_LIMIT
        await _end(runner, first)
        assert (await bob.until(second.id)).state is S.SUCCEEDED


async def test_a_job_starts_no_earlier_than_asked(user: User) -> None:
    moment = now() + timedelta(seconds=3)
    job = await user.submit(start_at=moment.isoformat())
    assert (await user.explain(job.id)).why is Why.START_AT
    ended = await user.until(job.id)
    assert ended.started_at
    assert ended.started_at >= moment


async def test_a_chain_goes_on_when_each_ends_as_it_should(user: User, runner: FakeRunner) -> None:
    first = await _run_long(user)
    second = await user.submit(after=[{"job": first, "delay": 0.5}])
    third = await user.submit(after=[{"job": first}, {"job": second.id, "on": "any"}])
    explained = await user.explain(third.id)
    assert (explained.why, explained.evidence["number"]) == (Why.DEPENDENCY, 2)
    await _end(runner, first)
    ended = [await user.until(job) for job in (first, second.id, third.id)]
    assert [job.state for job in ended] == [S.SUCCEEDED] * 3
    assert ended[0].finished_at
    assert ended[1].started_at
    assert (ended[1].started_at - ended[0].finished_at).total_seconds() >= 0.5
    assert _order(runner) == [first, second.id, third.id]


@pytest_asyncio.fixture
async def storage(nats: NatsSettings) -> AsyncIterator[None]:
    """Knows every file but those that are called missing."""

    async def freeze(query: FreezeInputs) -> Frozen:
        (item,) = query.inputs
        if item.source.endswith("missing"):
            raise InvalidError.of("inputs.0.source", f"{item.source} does not exist")
        return Frozen(inputs=[FrozenInput(source=item.source, target=item.target, key="k", size=1, sha256="0" * 64)])

    async with freezing(nats, freeze):
        yield


@pytest.mark.usefixtures("storage")
async def test_what_one_leaves_behind_is_an_input_of_the_next(user: User, runner: FakeRunner) -> None:
    first = await _run_long(user)
    after = [{"job": first, "on": "any"}]
    good = await user.submit(after=after, inputs=[{"source": f"jobs/{first}/outputs/x"}])
    bad = await user.submit(after=after, inputs=[{"source": f"jobs/{first}/outputs/missing"}])
    await _end(runner, first)
    assert (await user.until(good.id)).state is S.SUCCEEDED
    ended = await user.until(bad.id)
    assert (ended.state, ended.reason) == (S.FAILED, Reason.REFUSED)
    assert "missing" in ended.message
    (task,) = [task for task in runner.tasks if task.workload_id == good.id]
    assert [item.target for item in task.inputs] == ["x"]


async def test_a_broken_chain_is_canceled_and_names_its_root(user: User, runner: FakeRunner) -> None:
    root = await _run_long(user)
    middle = await user.submit(after=[{"job": root}])
    last = await user.submit(after=[{"job": middle.id}])
    rescue = await user.submit(after=[{"job": middle.id, "on": "failure"}])
    await _end(runner, root, Outcome(exit_code=3))
    ended = await user.until(last.id)
    assert (ended.state, ended.reason, ended.cause) == (S.CANCELED, Reason.DEPENDENCY, root)
    assert middle.id in ended.message
    assert root in ended.message
    assert "exit code 3" in ended.message
    assert (await user.explain(last.id)).evidence["cause"] == root
    assert (await user.get(middle.id)).cause == root
    assert (await user.until(rescue.id)).state is S.SUCCEEDED
    assert _order(runner) == [root, rescue.id]


async def test_what_ended_before_is_seen_at_the_door(user: User, runner: FakeRunner) -> None:
    runner.decide = lambda task: Outcome(exit_code=1 if task.job_name == "bad" else 0)
    good, bad = await user.submit(), await user.submit(name="bad")
    await user.until(good.id)
    await user.until(bad.id)
    late = await user.submit(after=[{"job": good.id}, {"job": bad.id, "on": "failure"}])
    assert (await user.until(late.id)).state is S.SUCCEEDED
    never = await user.submit(after=[{"job": bad.id}])
    assert (never.state, never.reason, never.cause) == (S.CANCELED, Reason.DEPENDENCY, bad.id)
    assert [move.state for move in (await user.history(never.id)).transitions] == [S.ACCEPTED, S.CANCELED]


async def test_one_can_wait_only_for_what_one_may_see(user: User, bus: Bus) -> None:
    job = await user.submit()
    own = workload_id()
    for who, name, told in (
        (User(bus, EVE), job.id, f"{job.id} does not exist"),
        (user, f"job-{0:032x}", f"job-{0:032x} does not exist"),
        (user, own, "a job cannot wait for itself"),
    ):
        with pytest.raises(InvalidError) as caught:
            await who.submit(own, after=[{"job": name}])
        assert [(error.field, error.message) for error in caught.value.errors] == [("after.0.job", told)]
        with pytest.raises(NotFoundError):
            await who.get(own)


async def test_an_end_is_heard_of_by_all_who_came_to_wait_meanwhile(user: User) -> None:
    firsts = await asyncio.gather(*(user.submit() for _ in range(20)))
    lasts = await asyncio.gather(*(user.submit(after=[{"job": job.id, "on": "any"}]) for job in firsts))
    ended = await asyncio.gather(*(user.until(job.id, seconds=60) for job in lasts))
    assert {job.state for job in ended} == {S.SUCCEEDED}


async def test_a_job_that_waits_is_held_released_and_canceled(user: User, runner: FakeRunner) -> None:
    long = await _run_long(user)
    first, second = await user.submit(**WHOLE), await user.submit(**WHOLE)
    assert (await user.hold(first.id)).state is S.HELD
    assert (await user.hold(first.id)).state is S.HELD
    assert (await user.explain(first.id)).why is Why.HELD
    assert (await user.cancel(second.id)).state is S.CANCELED
    with pytest.raises(ConflictError, match="running already"):
        await user.hold(long)
    third = await user.submit(**WHOLE)
    await _end(runner, long)
    await user.until(third.id)
    assert (await user.start(first.id)).state is S.ACCEPTED
    assert (await user.until(first.id)).state is S.SUCCEEDED
    with pytest.raises(ConflictError):
        await user.start(first.id)
    with pytest.raises(ConflictError, match="ended"):
        await user.hold(first.id)
    assert _order(runner) == [long, third.id, first.id]
    moves = [move.state for move in (await user.history(first.id)).transitions]
    assert moves[:4] == [S.ACCEPTED, S.HELD, S.ACCEPTED, S.QUEUED]


async def test_a_restarted_scheduler_knows_who_waits_and_who_has_what(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    user = User(bus)
    async with run_scheduler(settings):
        long = await _run_long(user)
        held = await user.submit(hold=True)
        many = [(await user.submit(priority=priority, **WHOLE)).id for priority in (0, 7, 3)]
        after = await user.submit(after=[{"job": long}], start_at=(now() + timedelta(seconds=1)).isoformat())
    async with run_scheduler(settings):
        await user.until(held.id, S.HELD)
        assert (await user.explain(many[0])).position == 3
        assert _order(runner) == [long]
        await _end(runner, long)
        await asyncio.gather(*(user.until(job) for job in (*many, after.id)))
        assert [job for job in _order(runner) if job in many] == [many[1], many[2], many[0]]
        await user.start(held.id)
        assert (await user.until(held.id)).state is S.SUCCEEDED
