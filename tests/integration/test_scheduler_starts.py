"""A held job is given files at its start; whoever rebuilds the table finds them; lists show a glance of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.commands import StartWorkload
from contracts.envelope import Context
from contracts.errors import ConflictError, ForbiddenError, InvalidError
from contracts.glances import GlancePage, GlanceWorkloads
from contracts.principals import Level, Principal
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.spec import Input
from contracts.states import WorkloadState
from contracts.workloads import Workload
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import SchedulerSettings
from tests.support.databases import lose, query
from tests.support.runner import FakeRunner
from tests.support.scheduler import ADA, EVE, User, freezing, run_scheduler, scheduler_settings

S = WorkloadState
_LEAD = Principal(subject="lead", projects={"demo": Level.ADMIN})


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=60, compare=0.2, settled=0.0)


@pytest_asyncio.fixture
async def storage(nats: NatsSettings) -> AsyncIterator[None]:
    """Has every file but those that are called `gone`."""

    async def freeze(query: FreezeInputs) -> Frozen:
        if any(item.source == "gone" for item in query.inputs):
            raise InvalidError.of("inputs.0.source", "there is no file gone")
        owner = query.principal.subject
        found = [
            FrozenInput(source=item.source, target=item.target, key=f"{owner}/{item.source}", size=1, sha256="0" * 64)
            for item in query.inputs
        ]
        return Frozen(inputs=found)

    async with freezing(nats, freeze):
        yield


async def _start(bus: Bus, job: str, *inputs: Input, who: Principal = ADA) -> Workload:
    command = StartWorkload(workload_id=job, principal=who, inputs=list(inputs))
    answer: Workload = await bus.order(command, Context.start("user:test"), wait=10, answer=Workload)
    return answer


async def _glance(bus: Bus, who: Principal = ADA, **wish: object) -> GlancePage:
    page: GlancePage = await bus.ask(GlanceWorkloads.model_validate({"principal": who, **wish}))
    return page


@pytest.mark.usefixtures("storage")
async def test_what_a_start_brings_lies_there_when_the_job_runs(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    user = User(bus)
    more = [Input(source="new/b", path="b"), Input(source="late", path="sub/c")]
    async with run_scheduler(settings):
        job = await user.submit(hold=True, inputs=[{"source": "a"}, {"source": "old/b", "path": "b"}])
        started = await _start(bus, job.id, *more)
        assert {item.target: item.source for item in started.spec.inputs} == {"a": "a", "b": "new/b", "sub/c": "late"}
        ended = await user.until(job.id)
        assert ended.state is S.SUCCEEDED
    (task,) = runner.tasks
    assert {item.target: item.key for item in task.inputs} == {"a": "ada/a", "b": "ada/new/b", "sub/c": "ada/late"}
    # All that the table knew is lost; the log brings it back.
    before = await query(settings.database_url, "SELECT spec, inputs FROM workloads")
    await lose(settings.database_url)
    async with run_scheduler(settings):
        assert (await user.until(job.id)).spec == ended.spec
    assert await query(settings.database_url, "SELECT spec, inputs FROM workloads") == before


@pytest.mark.usefixtures("storage", "runner")
async def test_a_start_with_files_that_cannot_be_changes_nothing(settings: SchedulerSettings, bus: Bus) -> None:
    user = User(bus)
    async with run_scheduler(settings):
        job = await user.submit(hold=True)
        wishes = ([Input(source="gone")], [Input(source="x/a"), Input(source="y/a")])
        nested = [Input(source="a"), Input(source="b", path="a/b")]
        for wish in (*wishes, nested):
            with pytest.raises(InvalidError):
                await _start(bus, job.id, *wish)
        with pytest.raises(ForbiddenError):
            await _start(bus, job.id, Input(source="a"), who=_LEAD)
        held = await user.get(job.id)
        assert (held.state, held.spec.inputs) == (S.HELD, [])
        await _start(bus, job.id, who=_LEAD)
        await user.until(job.id)
        with pytest.raises(ConflictError):
            await _start(bus, job.id, Input(source="a"))


@pytest.mark.usefixtures("runner")
async def test_a_glance_shows_what_one_may_see_and_asks_for(settings: SchedulerSettings, bus: Bus) -> None:
    user = User(bus)
    async with run_scheduler(settings):
        plain = await user.submit(name="plain")
        marked = [await user.submit(labels={"psik.job": str(number)}, hold=True) for number in range(3)]
        theirs = await User(bus, EVE).submit(labels={"psik.job": "9"}, hold=True)
        found = await _glance(bus, has_label="psik.job")
        assert [item.id for item in found.items] == [job.id for job in marked[::-1]]
        assert [item.state for item in found.items] == [S.HELD] * 3
        first = await _glance(bus, has_label="psik.job", limit=2)
        rest = await _glance(bus, has_label="psik.job", limit=2, cursor=first.next_cursor)
        assert [item.id for item in (*first.items, *rest.items)] == [item.id for item in found.items]
        assert rest.next_cursor is None
        named = await _glance(bus, ids=[plain.id, theirs.id, marked[0].id])
        assert {item.id for item in named.items} == {plain.id, marked[0].id}
