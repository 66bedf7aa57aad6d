"""Work that outside workers take: who gets what, what silence costs, and what a late word is worth."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ForbiddenError, NotFoundError
from contracts.ids import workload_id
from contracts.leases import Lease, Offer
from contracts.principals import Principal
from contracts.runs import Step, StepName
from contracts.states import Reason, WorkloadState
from contracts.workloads import Workload
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import BackendSettings, Limits, PullSettings
from tests.support.pulling import LARGE, Machine, done, poll, step, worker
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import BOB, User, run_scheduler, scheduler_settings

S = WorkloadState
PULL: dict[str, Any] = {"placement": {"backend": "pull"}}
SMALL = Offer(cpus=1, memory=2**30)

_USERS, _EACH = 100, 4
"""Twenty each pass as well, and take two minutes; `test_decode_many` submits so many."""

Site = Callable[..., AbstractAsyncContextManager[User]]


def _pull(**more: Any) -> PullSettings:
    """Return settings whose lease a test changes while the scheduler runs: it is as long as nothing is to be lost."""
    return PullSettings.model_validate({"environments": {"cloud": "cloud"}, "look": 0.1, **more})


@pytest.fixture
def site(tmp_path: Path, nats: NatsSettings, temporal: str, bus: Bus) -> Site:
    """Return what runs a scheduler with two backends, whose pull settings a test chooses."""

    @asynccontextmanager
    async def run(given: PullSettings | None = None, **pull: Any) -> AsyncIterator[User]:
        found = scheduler_settings(tmp_path, nats, temporal)
        chosen = given or _pull(**pull)
        backends = [BackendSettings(), BackendSettings(name="pull", kind="pull", pull=chosen)]
        section = found.scheduler.model_copy(update={"backends": backends, "limits": Limits(waiting_per_user=None)})
        async with run_scheduler(found.model_copy(update={"scheduler": section})):
            yield User(bus)

    return run


@pytest.fixture
def ann(bus: Bus) -> Machine:
    return Machine(bus, worker("ann"))


@pytest.fixture
def ben(bus: Bus) -> Machine:
    return Machine(bus, worker("ben"))


async def _queued(user: User, **spec: Any) -> Workload:
    job = await user.submit(**{**PULL, **spec})
    return await user.until(job.id, S.QUEUED)


async def test_a_leased_job_goes_its_whole_way(site: Site, ann: Machine) -> None:
    async with site() as user:
        job = await _queued(user)
        lease = await ann.one()
        assert (lease.job.id, lease.task.argv, lease.task.ticket) == (job.id, ["true"], "")
        pulled = await user.get(job.id)
        assert (pulled.state, pulled.phase, pulled.backend) == (S.STARTING, "pulled", "pull")
        await ann.say(lease, step(StepName.ALIVE, phase="preprocessing"))
        assert (await user.get(job.id)).phase == "preprocessing"
        await ann.say(lease, step(StepName.RUNNING))
        assert (await user.get(job.id)).state is S.RUNNING
        await ann.say(lease, *done())
        ended = await user.until(job.id)
        states = [move.state for move in (await user.history(job.id)).transitions]
    assert (ended.state, ended.exit_code, ended.usage is not None) == (S.SUCCEEDED, 0, True)
    assert states == [S.ACCEPTED, S.QUEUED, S.STARTING, S.RUNNING, S.FINISHING, S.SUCCEEDED]


async def test_work_is_lent_by_priority_and_age_and_only_where_it_fits(site: Site, ann: Machine, bus: Bus) -> None:
    far = Machine(bus, worker("zoe", "cloud"))
    gpu = {"count": 1, "model": "a100", "memory": 2**30, "architecture": "ampere"}
    async with site() as user:
        jobs = {
            name: (await _queued(user, name=name, placement={"backend": "pull", **place}, **spec)).id
            for name, place, spec in (
                ("old", {}, {}),
                ("young", {}, {}),
                ("urgent", {}, {"priority": 5}),
                ("gpu", {}, {"priority": 9, "resources": {"gpus": gpu}}),
                ("wide", {}, {"priority": 9, "resources": {"cpus": 32}}),
                ("cloud", {"environment": "cloud"}, {"priority": 9}),
            )
        }
        got = [lease.job.name for lease in await ann.take(SMALL, limit=64)]
        assert got == ["urgent", "old", "young"]
        plain = Offer(cpus=64, memory=2**38, gpus=8, gpu_memory=2**36, gpu_model="Tesla T4", gpu_architecture="Turing")
        assert [lease.job.name for lease in await ann.take(plain, limit=64)] == ["wide"]
        assert [lease.job.name for lease in await ann.take(LARGE, limit=64)] == ["gpu"]
        assert await ann.take(LARGE) == []
        assert [lease.job.id for lease in await far.take(SMALL)] == [jobs["cloud"]]
        await _queued(user)
        assert await ann.take(SMALL, older_than=60) == []
        assert len(await ann.take(SMALL)) == 1


async def test_a_worker_killed_in_the_middle_leaves_one_result_of_another(
    site: Site, ann: Machine, ben: Machine
) -> None:
    pull = _pull(lease=1.0, alive=30.0)
    async with site(pull) as user:
        job = await _queued(user)
        assert await ben.take(SMALL, limit=0) == []  # another one is there
        lost = await ann.one()
        await ann.say(lost, step(StepName.RUNNING))
        queued = await user.until(job.id, S.QUEUED)
        pull.lease = 60.0
        assert (queued.attempt, queued.phase) == (2, "")
        assert await ann.take() == []  # it is for another one
        late = await ann.say(lost, step(StepName.ALIVE))
        with pytest.raises(NotFoundError):
            await ann.use(lost)
        found = await ben.one()
        await ben.say(found, step(StepName.RUNNING))
        later = await ann.say(lost, *done(exit_code=3))
        still = await user.get(job.id)
        await ben.say(found, *done())
        ended = await user.until(job.id)
        assert not (await ben.look(lost.number)).is_current
    assert (late.gone, later.gone, still.state, still.attempt) == (True, True, S.RUNNING, 2)
    assert found.number > lost.number
    assert (ended.state, ended.attempt, ended.exit_code) == (S.SUCCEEDED, 2, 0)


async def test_the_same_worker_gets_it_again_where_no_other_lives_and_not_for_ever(site: Site, ann: Machine) -> None:
    async with site(lease=0.3, retries=1) as user:
        job = await _queued(user)
        numbers = [(await ann.one()).number for _ in range(2)]
        ended = await user.until(job.id)
    assert len(set(numbers)) == 2
    assert (ended.state, ended.attempt) == (S.LOST, 2)
    assert "said nothing for 0.3 s" in ended.message


async def test_a_worker_that_only_says_that_it_is_alive_loses_its_work(site: Site, ann: Machine) -> None:
    async with site(begin_within=0.5) as user:
        job = await _queued(user)
        lease = await ann.one()
        await ann.ping_until(lease, "gone", phase="preprocessing")
        assert (await user.until(job.id, S.QUEUED)).attempt == 2


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_cancel_reaches_the_worker_at_its_next_word(site: Site, bus: Bus, keyed: bool) -> None:
    ann = Machine(bus, worker("ann"), keyed=keyed)
    async with site() as user:
        job = await _queued(user)
        lease = await ann.one()
        await ann.say(lease, step(StepName.RUNNING))
        await user.cancel(job.id)
        told = await ann.ping_until(lease, "ending")
        with pytest.raises(NotFoundError):
            await ann.use(lease)
        assert (told.ending, told.gone) == (Reason.CANCELED, not keyed)
        if keyed:
            await ann.say(lease, step(StepName.DONE, reason=Reason.CANCELED))
        ended = await user.until(job.id)
        assert (await ann.say(lease, *done())).gone
    assert (ended.state, ended.exit_code) == (S.CANCELED, None)


async def test_what_nobody_took_is_canceled_at_once_and_a_silent_worker_is_not_waited_for(
    site: Site, ann: Machine
) -> None:
    async with site(lease=3.0) as user:
        waiting = await _queued(user)
        await user.cancel(waiting.id)
        assert (await user.until(waiting.id)).state is S.CANCELED
        assert await ann.take() == []
        silent = await _queued(user)
        await ann.one()
        await user.cancel(silent.id)
        ended = await user.until(silent.id)
    assert (ended.state, ended.attempt) == (S.CANCELED, 1)


async def test_a_failed_program_is_final_even_if_its_worker_falls_silent(site: Site, ann: Machine) -> None:
    pull = _pull()
    async with site(pull) as user:
        told, silent = await _queued(user), await _queued(user)
        first, second = await ann.one(), await ann.one()
        await ann.say(first, *done(exit_code=7, message="no such file"))
        await ann.say(second, step(StepName.EXITED, exit_code=1))
        pull.lease = 0.5
        ends = [await user.until(job.id) for job in (told, silent)]
    assert [(end.state, end.exit_code, end.attempt) for end in ends] == [(S.FAILED, 7, 1), (S.FAILED, 1, 1)]
    assert ends[0].message == "no such file"


async def test_a_worker_without_a_clock_is_told_when_the_time_is_over(site: Site, bus: Bus) -> None:
    ann = Machine(bus, worker("ann"), keyed=False)
    async with site() as user:
        job = await _queued(user, resources={"walltime": 0.2})
        lease = await ann.one()
        await ann.say(lease, step(StepName.RUNNING))
        told = await ann.ping_until(lease, "gone")
        ended = await user.until(job.id)
    assert (told.ending, ended.state, ended.reason) == (Reason.WALLTIME, S.FAILED, Reason.WALLTIME)


async def test_a_lease_is_for_its_worker_and_its_token(site: Site, bus: Bus, ann: Machine, ben: Machine) -> None:
    async with site() as user:
        await _queued(user)
        lease = await ann.one()
        forged = lease.model_copy(update={"token": "x" * 32})
        for who, shown in ((ben, lease), (ann, forged), (ann, lease.model_copy(update={"token": ""}))):
            assert (await who.say(shown, *done())).gone
            with pytest.raises(NotFoundError):
                await who.use(shown)
        for stranger in (Principal(subject="eve"), BOB):
            with pytest.raises(ForbiddenError, match="members of workers"):
                await Machine(bus, stranger).take()
            with pytest.raises(ForbiddenError):
                await Machine(bus, stranger).look(lease.number)
        with pytest.raises(NotFoundError):
            await Machine(bus, worker("ann"), backend="local").take()
        assert (await ann.use(lease)).task.ticket


async def test_what_no_worker_takes_goes_on_to_the_next_backend_and_runs_once(
    site: Site, nats: NatsSettings, ann: Machine
) -> None:
    runner = FakeRunner(nats, decide=lambda _: Outcome())
    await runner.start()
    both: dict[str, Any] = {"placement": {"backends": ["pull", "local"], "patience": 0.5}}
    try:
        async with site() as user:
            alone = await user.until((await user.submit(**both)).id)  # nobody is there: it does not lie there at all
            await ann.take(SMALL, limit=0)
            passed = await user.until((await user.submit(**both)).id)
            taken = await user.submit(placement={**both["placement"], "patience": 3.0})
            lease = await ann.one()
            await asyncio.sleep(3.2)  # longer than the patience: it was begun, and stays
            assert (await user.get(taken.id)).state is S.STARTING
            await ann.say(lease, *done())
            kept = await user.until(taken.id)
            assert await ann.take() == []
    finally:
        await runner.stop()
    assert [(end.state, end.backend, end.attempt) for end in (alone, passed, kept)] == [
        (S.SUCCEEDED, "local", 1),
        (S.SUCCEEDED, "local", 2),
        (S.SUCCEEDED, "pull", 1),
    ]
    assert Counter(task.workload_id for task in runner.tasks) == {alone.id: 1, passed.id: 1}


async def test_many_users_and_two_workers_make_no_double_run(site: Site, bus: Bus, ann: Machine, ben: Machine) -> None:
    seen: list[Lease] = []

    async def work(machine: Machine) -> None:
        while len(seen) < _USERS * _EACH:
            leases = await machine.take(SMALL, limit=16)
            seen.extend(leases)
            await asyncio.gather(*(machine.say(lease, step(StepName.RUNNING), *done()) for lease in leases))
            if not leases:
                await asyncio.sleep(0.05)

    async def submit(number: int) -> list[str]:
        user = User(bus, Principal(subject=f"user-{number}"))
        return [(await user.submit(workload_id(), **PULL)).id for _ in range(_EACH)]

    async with site(), asyncio.timeout(240):
        working = [asyncio.create_task(work(machine)) for machine in (ann, ben)]
        jobs = [job for some in await asyncio.gather(*map(submit, range(_USERS))) for job in some]
        await asyncio.gather(*working)
        ends = [await User(bus, Principal(subject=f"user-{n // _EACH}")).until(job) for n, job in enumerate(jobs)]
    assert len(set(jobs)) == _USERS * _EACH
    assert Counter(lease.job.id for lease in seen) == Counter(jobs)
    assert Counter((end.state, end.attempt) for end in ends) == {(S.SUCCEEDED, 1): _USERS * _EACH}


async def test_a_task_of_a_lost_worker_goes_to_another_one_and_what_the_first_says_is_void(
    site: Site, ann: Machine, ben: Machine
) -> None:
    offer = LARGE.model_copy(update={"arrays": True})
    pull = _pull()
    async with site(pull) as user:
        array = await user.submit(**PULL, array={"count": 3})
        await user.until(array.id, S.QUEUED)
        assert await ann.take(LARGE) == [], "who takes no arrays gets none"
        mine = [await ann.one(offer) for _ in range(2)]
        bundles = [lease.task.bundle for lease in mine]
        assert [bundle.indices for bundle in bundles if bundle] == ["0", "1"]
        theirs = await ben.one(offer)
        facts = [{"index": 2, "state": "succeeded", "exit_code": 0}, {"index": 0, "state": "failed"}]
        await ben.say(theirs, step(StepName.RUNNING), step(StepName.TASKS, tasks=facts), *_over())
        counts = (await user.get(array.id)).tasks
        assert counts
        assert (counts.succeeded, counts.failed) == (1, 0), "only its own task is its to tell of"
        pull.lease = 0.1
        for lease in mine:
            await poll(partial(ann.look, lease.number), lambda view: not view.is_current)
        pull.lease = 60.0
        again = [await ben.one(offer) for _ in range(2)]
        assert (await ann.say(mine[0], step(StepName.ALIVE))).gone
        assert not (await ann.look(mine[0].number)).is_current
        with pytest.raises(NotFoundError):
            await ann.use(mine[0])
        late = step(StepName.TASKS, tasks=[{"index": 0, "state": "succeeded", "exit_code": 0}])
        assert (await ann.say(mine[0], late, *_over())).gone
        for lease in again:
            bundle = lease.task.bundle
            assert bundle
            index = int(bundle.indices)
            assert bundle.attempts == {index: 2}
            told = step(StepName.TASKS, tasks=[{"index": index, "attempt": 2, "state": "succeeded", "exit_code": 0}])
            await ben.say(lease, step(StepName.RUNNING), told, *_over())
        ended = await user.until(array.id)
    assert (ended.state, ended.tasks and ended.tasks.succeeded) == (S.SUCCEEDED, 3)


async def test_an_array_that_is_canceled_is_taken_back_and_its_workers_are_told(site: Site, ann: Machine) -> None:
    offer = LARGE.model_copy(update={"arrays": True})
    async with site() as user:
        array = await user.submit(**PULL, array={"count": 200})
        lease = await ann.one(offer)
        await ann.say(lease, step(StepName.RUNNING))
        await user.cancel(array.id)
        standing = await ann.ping_until(lease, "ending")
        assert standing.ending is Reason.CANCELED
        fact = {"index": 0, "state": "canceled", "reason": "canceled"}
        await ann.say(lease, step(StepName.TASKS, tasks=[fact]), step(StepName.DONE, reason=Reason.CANCELED))
        ended = await user.until(array.id)
    assert (ended.state, ended.tasks and ended.tasks.canceled) == (S.CANCELED, 200)


def _over() -> list[Step]:
    return [step(StepName.DONE, reason=Reason.EXITED)]
