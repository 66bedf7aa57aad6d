"""Sharing jobs, on the real scheduler: who was let in sees what they may, and nobody else anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.commands import RetryWorkload
from contracts.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from contracts.grants import Right
from contracts.ids import workload_id
from contracts.model import now
from contracts.principals import Level, Principal, Role
from contracts.queries import ListWorkloads, WorkloadPage
from contracts.states import WorkloadState
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import SchedulerSettings
from tests.support.databases import lose, query
from tests.support.runner import FakeRunner
from tests.support.scheduler import ADA, BOB, EVE, User, run_scheduler, scheduler_settings
from tests.support.sharing import Sharer

S = WorkloadState
LEAD = Principal(subject="lea", projects={"demo": Level.ADMIN})
AUDITOR = Principal(subject="kim", roles=frozenset({Role.AUDITOR}))
ROBOT = Principal(subject="zoe", token="robot-1")


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=60)


@pytest_asyncio.fixture
async def ada(settings: SchedulerSettings, bus: Bus, runner: FakeRunner) -> AsyncIterator[User]:
    async with run_scheduler(settings):
        yield User(bus, ADA)


async def _listed(bus: Bus, who: Principal, *, shared: bool | None = None, limit: int = 1000) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        query = ListWorkloads(principal=who, shared=shared, limit=limit, cursor=cursor)
        page: WorkloadPage = await bus.ask(query)
        found += [item.id for item in page.items]
        if (cursor := page.next_cursor) is None:
            return found


async def test_a_grantee_looks_and_does_not_touch(ada: User, bus: Bus) -> None:
    job = (await ada.submit(hold=True)).id
    grant = await Sharer(bus, ADA).share(job, "user:eve")
    assert (grant.resource, grant.owner, grant.created_by) == (f"job:{job}", "ada", "ada")
    eve = User(bus, EVE)
    assert (await eve.get(job)).owner == "ada"
    assert (await eve.history(job)).transitions
    assert (await eve.explain(job)).workload_id == job
    for wish in (eve.hold, eve.start, eve.cancel):
        with pytest.raises(ForbiddenError):
            await wish(job)
    with pytest.raises(ForbiddenError):
        await Sharer(bus, EVE).share(job, "user:bob")
    with pytest.raises(ForbiddenError):
        await Sharer(bus, EVE).unshare(job, "user:eve")


async def test_whoever_controls_it_steers_it_and_what_they_repeat_is_shared_too(ada: User, bus: Bus) -> None:
    job = (await ada.submit(hold=True)).id
    await Sharer(bus, ADA).share(job, "user:eve", Right.CONTROL)
    await Sharer(bus, ADA).share(job, "user:zoe")
    eve = User(bus, EVE)
    await eve.start(job)
    await eve.until(job)
    wish = RetryWorkload(workload_id=job, principal=EVE, new_id=workload_id(), request_hash="h")
    again = await eve.order(wish)
    assert (await eve.order(wish)).id == again.id
    assert (again.owner, again.retry_of) == ("ada", job)
    assert (await eve.until(again.id)).state is S.SUCCEEDED
    granted = {grant.grantee: grant.right for grant in await Sharer(bus, ADA).grants_on(again.id)}
    assert granted == {"user:eve": Right.CONTROL, "user:zoe": Right.READ}
    with pytest.raises(ForbiddenError):
        await Sharer(bus, EVE).share(job, "user:bob")
    with pytest.raises(ConflictError):
        await eve.cancel(job)


@pytest.mark.parametrize(
    ("grantee", "who"),
    [("user:eve", EVE), ("project:other", EVE), ("project:demo", BOB), ("token:robot-1", ROBOT)],
)
async def test_users_projects_and_tokens_are_let_in(ada: User, bus: Bus, grantee: str, who: Principal) -> None:
    job, other = (await ada.submit()).id, (await ada.submit()).id
    await Sharer(bus, ADA).share(job, grantee)
    assert (await User(bus, who).get(job)).id == job
    assert await _listed(bus, who) == await _listed(bus, who, shared=True) == [job]
    assert await _listed(bus, who, shared=False) == []
    assert await Sharer(bus, who).received() == [job]
    with pytest.raises(NotFoundError):
        await User(bus, who).get(other)
    stranger = Principal(subject="mal", projects={"third": Level.MEMBER}, token="robot-2")
    assert await _listed(bus, stranger) == await Sharer(bus, stranger).received() == []
    with pytest.raises(NotFoundError):
        await User(bus, stranger).get(job)


async def test_what_was_taken_back_is_gone_at_once(ada: User, bus: Bus) -> None:
    job = (await ada.submit()).id
    await Sharer(bus, ADA).share(job, "user:eve", Right.CONTROL)
    await Sharer(bus, ADA).unshare(job, "user:eve")
    eve = User(bus, EVE)
    for look in (eve.get, eve.history, eve.explain, eve.cancel):
        with pytest.raises(NotFoundError):
            await look(job)
    assert await _listed(bus, EVE) == []
    with pytest.raises(NotFoundError):
        await Sharer(bus, ADA).unshare(job, "user:eve")


async def test_owner_project_admin_and_site_admin_share_and_nobody_else(ada: User, bus: Bus) -> None:
    job = (await ada.submit(hold=True)).id
    await Sharer(bus, LEAD).share(job, "user:eve")
    with pytest.raises(ForbiddenError):
        await Sharer(bus, AUDITOR).share(job, "user:eve")
    with pytest.raises(NotFoundError):
        await Sharer(bus, BOB).share(job, "user:bob")
    assert [grant.created_by for grant in await Sharer(bus, ADA).grants_on(job)] == ["lea"]
    await Sharer(bus, ADA).share(job, "project:demo")
    assert len(await Sharer(bus, AUDITOR).grants_on(job)) == 2
    assert [grant.grantee for grant in await Sharer(bus, EVE).grants_on(job)] == ["user:eve"]
    with pytest.raises(NotFoundError):
        await Sharer(bus, ROBOT).grants_on(job)
    await Sharer(bus, ADA).share(job, "user:kim", Right.CONTROL)
    assert (await User(bus, AUDITOR).cancel(job)).id == job


async def test_sharing_again_keeps_when_and_replaces_what(ada: User, bus: Bus) -> None:
    job = (await ada.submit()).id
    sharer = Sharer(bus, ADA)
    first = await sharer.share(job, "user:eve")
    assert await sharer.share(job, "user:eve") == first
    until = now() + timedelta(hours=1)
    second = await sharer.share(job, "user:eve", Right.CONTROL, until)
    assert (second.created_at, second.right, second.expires_at) == (first.created_at, Right.CONTROL, until)
    assert await sharer.grants_on(job) == [second]
    with pytest.raises(InvalidError):
        await sharer.share(job, "user:eve", expires_at=now() - timedelta(seconds=1))
    with pytest.raises(InvalidError):
        await sharer.share(job, "user:ada")


async def test_lists_are_paged_through_own_and_shared_ones_alike(ada: User, bus: Bus) -> None:
    eve, ids = User(bus, EVE), []
    for number in range(9):
        whose = (eve, ada, ada)[number % 3]
        ids.append((await whose.submit()).id)
        if number % 3 == 1:
            await Sharer(bus, ADA).share(ids[-1], "user:eve")
            await Sharer(bus, ADA).share(ids[-1], "project:other")
    visible = [job for number, job in enumerate(ids) if number % 3 != 2][::-1]
    assert await _listed(bus, EVE) == await _listed(bus, EVE, limit=2) == visible
    assert await _listed(bus, EVE, shared=True, limit=1) == [job for job in visible if ids.index(job) % 3 == 1]
    assert await _listed(bus, EVE, shared=False, limit=1) == [job for job in visible if ids.index(job) % 3 == 0]
    assert len(await Sharer(bus, EVE).received(limit=2)) == 6


async def test_one_may_wait_for_a_shared_job_and_not_for_a_stranger_s(ada: User, bus: Bus) -> None:
    job = (await ada.submit(hold=True)).id
    eve = User(bus, EVE)
    with pytest.raises(InvalidError, match="does not exist"):
        await eve.submit(after=[{"job": job}])
    await Sharer(bus, ADA).share(job, "user:eve")
    waits = await eve.submit(after=[{"job": job}])
    assert job in str((await eve.explain(waits.id)).evidence)
    await Sharer(bus, ADA).unshare(job, "user:eve")
    assert job not in str(await eve.explain(waits.id))
    await ada.start(job)
    assert (await eve.until(waits.id)).state is S.SUCCEEDED


async def test_a_lost_table_gets_its_grants_back_from_the_log(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    ada, sharer = User(bus, ADA), Sharer(bus, ADA)
    async with run_scheduler(settings):
        job = (await ada.submit()).id
        await sharer.share(job, "user:eve")
        kept = await sharer.share(job, "user:eve", Right.CONTROL)
        await sharer.share(job, "user:zoe")
        await sharer.unshare(job, "user:zoe")
        await ada.until(job)
        await _until_said(settings.database_url)
    await lose(settings.database_url)
    async with run_scheduler(settings):
        await ada.until(job)
        assert await sharer.grants_on(job) == [kept]
        assert await _listed(bus, EVE, shared=True) == [job]


async def _until_said(url: str) -> None:
    async with asyncio.timeout(30):
        unsent = "SELECT count(*) FROM outbox WHERE sink = 'events' AND sent_at IS NULL"
        while (await query(url, unsent))[0][0]:  # noqa: ASYNC110 (another connection writes)
            await asyncio.sleep(0.05)
