"""Schedules on a real NATS and a real Temporal, with a runner that pretends.

The shortest pause between two runs is 10 s, so the tests that wait for Temporal's clock do so side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client, ScheduleDescription
from temporalio.service import RPCError, RPCStatusCode

from contracts.errors import ConflictError, InvalidError, MismatchError, NotFoundError, OverQuotaError
from contracts.ids import workload_id
from contracts.queries import ListWorkloads, WorkloadPage
from contracts.schedules import RunOutcome, ScheduleState
from contracts.states import WorkloadState
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import SchedulerSettings
from services.scheduler.temporal import connect
from tests.support.gateway import as_user, run_gateway
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import ADA, ADMIN, EVE, User, run_scheduler, scheduler_settings
from tests.support.schedules import Keeper

S = ScheduleState


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=5)


@pytest_asyncio.fixture
async def keeper(settings: SchedulerSettings, bus: Bus, runner: FakeRunner) -> AsyncIterator[Keeper]:
    async with run_scheduler(settings):
        yield Keeper(bus)


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)


async def _until_known(client: Client, schedule_id: str, *, known: bool = True) -> None:
    async def is_as_wanted() -> bool:
        try:
            await client.get_schedule_handle(schedule_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return not known
        return known

    await _until(is_as_wanted)


async def _described(client: Client, schedule_id: str, revision: int) -> ScheduleDescription:
    """Return what Temporal makes of a schedule, as soon as it has heard of this revision."""
    handle = client.get_schedule_handle(schedule_id)

    async def has_heard() -> bool:
        return (await handle.describe()).schedule.state.note == f"revision {revision}"

    await _until(has_heard)
    return await handle.describe()


async def test_what_falls_due_is_submitted_once_and_overlaps_as_asked(
    keeper: Keeper, bus: Bus, runner: FakeRunner
) -> None:
    runner.decide = lambda task: Outcome(exit_code=None if task.job_name in {"one", "other"} else 0)
    short = await keeper.create(name="short", every=10, max_runs=2)
    skipping = await keeper.create(name="one", every=10, overlap="skip")
    cancelling = await keeper.create(name="other", every=10, overlap="cancel_other")
    broken = await keeper.create(
        name="broken", every=10, catch_up=10, job={"inputs": [{"source": "not/there"}]}, max_runs=1
    )
    paused = await keeper.create(name="paused", every=10, paused=True)

    ended = await keeper.settled(short.id, 2)
    user = User(bus)
    assert (ended.runs, ended.state) == (2, S.ENDED)
    assert ended.next_runs == []
    done = [await user.until(run.job_id) for run in ended.recent_runs]
    assert [job.state for job in done] == [WorkloadState.SUCCEEDED] * 2
    assert {(job.name, job.owner, job.project, job.schedule_id) for job in done} == {("short", "ada", "demo", short.id)}
    gap = ended.recent_runs[0].scheduled_for - ended.recent_runs[1].scheduled_for
    assert gap.total_seconds() == 10

    others = await keeper.settled(cancelling.id, 2)
    first = await user.until(others.recent_runs[-1].job_id)
    assert (first.state, "next run" in first.message) == (WorkloadState.CANCELED, True)
    assert (await keeper.settled(skipping.id)).runs == 1

    listed: WorkloadPage = await bus.ask(ListWorkloads(principal=ADA, schedule_id=short.id))
    assert {job.id for job in listed.items} == {run.job_id for run in ended.recent_runs}
    assert (await keeper.get(paused.id)).runs == 0

    # Nobody answers for the files here, and after the time to catch up nobody waits for them any more.
    given_up = await keeper.until(broken.id, lambda found: bool(found.last_error))
    assert given_up.recent_runs[0].outcome is RunOutcome.REFUSED
    assert "storage" in given_up.last_error
    for one in (skipping, cancelling, paused):
        await keeper.delete(one.id)


async def test_a_run_by_hand_makes_a_job_at_once_even_of_a_paused_schedule(keeper: Keeper, bus: Bus) -> None:
    made = await keeper.create(paused=True, job={"name": "report"})
    assert (made.state, made.next_runs) == (S.PAUSED, [])
    run = await keeper.trigger(made.id)
    assert (run.outcome, run.by_hand) == (RunOutcome.SUBMITTED, True)
    job = await User(bus).until(run.job_id)
    assert (job.state, job.name, job.schedule_id) == (WorkloadState.SUCCEEDED, "report", made.id)
    found = await keeper.get(made.id)
    assert found.recent_runs == [run]
    assert (found.runs, found.last_error) == (1, "")


async def test_a_refused_run_is_visible_on_its_schedule(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    keeper = Keeper(bus)
    async with run_scheduler(settings):
        made = await keeper.create(paused=True, job={"placement": {"backend": "local"}})
    other = settings.model_copy(deep=True)
    other.scheduler.backends[0].name = "elsewhere"
    async with run_scheduler(other):
        run = await keeper.trigger(made.id)
        assert run.outcome is RunOutcome.REFUSED
        assert "local" in run.message
        found = await keeper.get(made.id)
    assert found.last_error == run.message
    assert found.recent_runs == [run]


async def test_temporal_is_told_of_every_change(keeper: Keeper, settings: SchedulerSettings) -> None:
    client = await connect(settings.scheduler.temporal)
    made = await keeper.create(cron="30 2 * * MON-FRI", time_zone="Europe/Berlin")
    await _until_known(client, made.id)
    paused = await keeper.pause(made.id)
    assert (paused.state, paused.revision, paused.spec.paused) == (S.PAUSED, 2, True)
    assert (await _described(client, made.id, 2)).schedule.state.paused
    resumed = await keeper.resume(made.id)
    assert (resumed.state, resumed.revision) == (S.ACTIVE, 3)
    found = await _described(client, made.id, 3)
    assert not found.schedule.state.paused
    assert list(resumed.next_runs) == list(found.info.next_action_times[: len(resumed.next_runs)])
    changed = await keeper.replace(made.id, 3, cron="0 0 1 * SUN", name="other")
    found = await _described(client, made.id, 4)
    assert list(changed.next_runs) == list(found.info.next_action_times[: len(changed.next_runs)])
    with pytest.raises(ConflictError):
        await keeper.replace(made.id, 3, cron="0 0 1 * *")
    await keeper.delete(made.id)
    await _until_known(client, made.id, known=False)
    with pytest.raises(NotFoundError):
        await keeper.get(made.id)
    with pytest.raises(NotFoundError):
        await keeper.trigger(made.id)


async def test_what_temporal_lost_is_made_anew_at_the_next_start(
    settings: SchedulerSettings,
    bus: Bus,
    runner: FakeRunner,
) -> None:
    client = await connect(settings.scheduler.temporal)
    keeper = Keeper(bus)
    async with run_scheduler(settings):
        made = await keeper.create()
        await _until_known(client, made.id)
    await client.get_schedule_handle(made.id).delete()
    async with run_scheduler(settings):
        await _until_known(client, made.id)
        await keeper.until(made.id, lambda found: found.state is S.ACTIVE)


async def test_the_same_request_twice_is_one_schedule(keeper: Keeper) -> None:
    name = workload_id("sch")
    first = await keeper.create(name, "hash")
    again = await keeper.create(name, "hash")
    assert (first.id, first.created_at) == (again.id, again.created_at)
    with pytest.raises(MismatchError):
        await keeper.create(name, "another")


async def test_what_is_not_yours_does_not_exist(keeper: Keeper, bus: Bus) -> None:
    made = await keeper.create()
    eve = Keeper(bus, EVE)
    for act in (eve.get, eve.pause, eve.resume, eve.trigger, eve.delete):
        with pytest.raises(NotFoundError):
            await act(made.id)
    assert (await eve.page()).items == []
    assert [item.id for item in (await Keeper(bus, ADMIN).page(owner="ada")).items] == [made.id]


async def test_schedules_are_listed_in_pages_and_counted(settings: SchedulerSettings, bus: Bus) -> None:
    settings.scheduler.schedules.per_owner = 3
    keeper = Keeper(bus)
    async with run_scheduler(settings):
        made = [await keeper.create(name=f"n{number}") for number in range(3)]
        with pytest.raises(OverQuotaError):
            await keeper.create()
        first = await keeper.page(limit=2)
        rest = await keeper.page(limit=2, cursor=first.next_cursor)
        assert [item.id for item in [*first.items, *rest.items]] == [item.id for item in reversed(made)]
        assert rest.next_cursor is None
        await keeper.delete(made[0].id)
        await keeper.create()


async def test_what_could_never_run_is_refused_with_the_field(keeper: Keeper) -> None:
    with pytest.raises(InvalidError) as caught:
        await keeper.create(job={"placement": {"backend": "nowhere"}})
    assert [error.field for error in caught.value.errors] == ["job.placement.backend"]
    with pytest.raises(InvalidError) as caught:
        await keeper.create(cron="0 0 * * *", end_at="2001-01-01T00:00:00Z")
    assert [error.field for error in caught.value.errors] == ["end_at"]
    with pytest.raises(InvalidError) as caught:
        await keeper.create(job={"project": "secret"})
    assert [error.field for error in caught.value.errors] == ["job.project"]


async def test_schedules_are_made_and_steered_over_rest(
    nats: NatsSettings,
    settings: SchedulerSettings,
    runner: FakeRunner,
) -> None:
    spec = {"name": "nightly", "cron": "30 2 * * *", "job": {"argv": ["true"]}, "paused": True}
    headers, eve = {**as_user("ada"), "Idempotency-Key": "nightly"}, as_user("eve")
    async with run_gateway(nats) as (client, _), run_scheduler(settings):
        made = await client.post("/v1/schedules", json=spec, headers=headers)
        assert made.status_code == 201, made.text
        path = made.headers["location"]
        again = await client.post("/v1/schedules", json=spec, headers=headers)
        assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
        other = await client.post("/v1/schedules", json={**spec, "name": "other"}, headers=headers)
        assert other.json()["code"] == "idempotency_mismatch"
        wrong = await client.post("/v1/schedules", json={**spec, "cron": "60 25 32 13 8"}, headers=as_user("ada"))
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "cron")

        client.headers.update(as_user("ada"))
        run = (await client.post(f"{path}/trigger")).json()
        jobs = (await client.get("/v1/jobs", params={"schedule": made.json()["id"]})).json()["items"]
        assert [job["id"] for job in jobs] == [run["job_id"]]
        resumed = await client.post(f"{path}/resume")
        assert (resumed.json()["state"], resumed.headers["etag"]) == ("active", '"2"')
        stale = await client.put(path, json=spec, headers={"If-Match": '"1"'})
        assert stale.status_code == 409
        assert (await client.put(path, json=spec, headers={"If-Match": "old"})).status_code == 400
        assert (await client.put(path, json=spec, headers={"If-Match": '"2"'})).json()["state"] == "paused"
        assert [one["id"] for one in (await client.get("/v1/schedules")).json()["items"]] == [made.json()["id"]]
        for method, at in (("GET", path), ("POST", f"{path}/pause"), ("DELETE", path), ("POST", f"{path}/trigger")):
            assert (await client.request(method, at, headers=eve)).status_code == 404
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).status_code == 404
