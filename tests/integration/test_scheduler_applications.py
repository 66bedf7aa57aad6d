"""A job that names an application, from the submit to its runner: as it was offered then, also when it is run again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.catalog import Catalog, ListApplications
from contracts.commands import CreateSchedule, StartWorkload, TriggerSchedule
from contracts.envelope import Context
from contracts.errors import InvalidError
from contracts.model import now
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput, RunTicket
from contracts.schedules import Schedule, ScheduleRun, ScheduleSpec
from contracts.spec import Input
from contracts.states import WorkloadState
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.chassis.tickets import Tickets
from services.scheduler.settings import SchedulerSettings
from tests.support.catalogs import small
from tests.support.databases import lose, query
from tests.support.runner import FakeRunner
from tests.support.scheduler import ADA, User, freezing, run_scheduler, scheduler_settings

CALL = {
    "application": "small",
    "version": "v1",
    "entrypoint": "run",
    "inputs": {"data_ids": ["data/d1", "data/d2"]},
    "outputs": {"artifact": "artifact/first"},
}


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=60, compare=0.2, settled=0.0)


@pytest_asyncio.fixture
async def storage(nats: NatsSettings) -> AsyncIterator[None]:
    """Has every file, and two of its own in every folder but those that are called `gone`."""

    async def freeze(query: FreezeInputs) -> Frozen:
        for place, item in enumerate(query.inputs):
            if item.source.endswith("gone"):
                raise InvalidError.of(f"inputs.{place}.source", f"there is no folder {item.source}")
        return Frozen(inputs=[one for item in query.inputs for one in _files_of(item)])

    async with freezing(nats, freeze):
        yield


def _files_of(item: Input) -> list[FrozenInput]:
    names = [f"/{item.source.rpartition('/')[2]}-{letter}" for letter in "ab"] if item.folder else [""]
    return [
        FrozenInput(
            source=f"{item.source}{name}", target=f"{item.target}{name}", key=f"ada/{name}", size=1, sha256="0" * 64
        )
        for name in names
    ]


async def _submit(user: User, call: dict[str, Any] | None = None, **more: Any) -> Any:
    return await user.submit(argv=None, application={**CALL, **(call or {})}, **more)


def _offer(folder: Path, command: str) -> None:
    (folder / "application_config.yaml").write_text(small(command, env="[SEED]"))


@pytest.mark.usefixtures("storage")
async def test_an_application_runs_as_it_was_offered_when_it_was_submitted(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, tmp_path: Path
) -> None:
    user = User(bus)
    _offer(tmp_path, "first")
    async with run_scheduler(settings):
        job = await _submit(user, {"env": {"SEED": "7"}}, hold=True)
        _offer(tmp_path, "second")
        offered: Catalog = await bus.ask(ListApplications(principal=ADA))
        assert offered.applications["small"]["v1"]["run"].app.cmd == ["second"]
        await user.start(job.id)
        ended = await user.until(job.id)
        assert ended.state is WorkloadState.SUCCEEDED
        again = await user.until((await user.order_retry(job.id)).id)
        fresh = await user.until((await _submit(user)).id)
    scripts = [(task.script or "").splitlines()[-1] for task in runner.tasks]
    assert scripts == ["first", "first", "second"]
    assert again.spec.application == job.spec.application
    assert fresh.spec.application != job.spec.application
    (first, *_) = runner.tasks
    assert (first.files, first.env, first.walltime, first.memory) == ("/files", {"SEED": "7"}, 60.0, 64 * 2**20)
    assert [item.target for item in first.inputs] == ["data/d1-a", "data/d1-b", "data/d2-a", "data/d2-b"]
    assert [(out.path, out.to) for out in first.outputs] == [("out", None), ("model", "artifact/first")]
    ticket = Tickets(settings.ticket_key, RunTicket).read(first.ticket, 3600)
    assert ticket.folders == ["artifact/first"]


@pytest.mark.usefixtures("storage", "runner")
async def test_what_cannot_be_is_refused_by_the_callers_own_fields(
    settings: SchedulerSettings, bus: Bus, tmp_path: Path
) -> None:
    user = User(bus)
    async with run_scheduler(settings):
        for call, field in (
            ({"version": "v1"}, "application.application"),  # nothing is offered yet
            ({"version": "v2"}, "application.version"),
            ({"env": {"PATH": "/"}}, "application.env.PATH"),
            ({"inputs": {"config_id": ["c"], "data_ids": ["d", "gone"]}}, "application.inputs.data_ids.1"),
        ):
            with pytest.raises(InvalidError) as refusal:
                await _submit(user, call)
            assert [error.field for error in refusal.value.errors] == [field]
            _offer(tmp_path, "true")


@pytest.mark.usefixtures("storage")
async def test_a_schedule_stays_with_the_name_of_its_application(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, tmp_path: Path
) -> None:
    _offer(tmp_path, "first")
    spec = ScheduleSpec.model_validate({"name": "daily", "job": {"application": CALL}, "every": "24h"})
    context = Context.start("user:ada")
    async with run_scheduler(settings):
        command = CreateSchedule(schedule_id="sch-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b", principal=ADA, spec=spec)
        made: Schedule = await bus.order(command, context, wait=10, answer=Schedule)
        assert made.spec.job.script is None
        _offer(tmp_path, "second")
        order = TriggerSchedule(schedule_id=made.id, principal=ADA, at=now())
        run: ScheduleRun = await bus.order(order, context, wait=10, answer=ScheduleRun)
        assert run.job_id
        await User(bus).until(run.job_id)
    assert (runner.tasks[0].script or "").endswith("\nsecond")


@pytest.mark.usefixtures("storage")
async def test_folders_that_come_with_a_start_and_from_another_job_are_found_by_whoever_rebuilds_the_table(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    user = User(bus)
    async with run_scheduler(settings):
        giver = await user.submit(hold=True)
        late = {"source": f"jobs/{giver.id}/outputs/m", "path": "m", "folder": True}
        inputs = [{"source": "mine", "path": "m", "folder": True}, late, {"source": "one"}]
        taker = await user.submit(hold=True, inputs=inputs, after=[{"job": giver.id}])
        more = StartWorkload(workload_id=taker.id, principal=ADA, inputs=[Input(source="more", path="m", folder=True)])
        await user.order(more)
        await user.start(giver.id)
        ended = await user.until(taker.id)
        assert ended.state is WorkloadState.SUCCEEDED
    targets = ["m/m-a", "m/m-b", "m/mine-a", "m/mine-b", "m/more-a", "m/more-b", "one"]
    assert sorted(item.target for item in runner.tasks[-1].inputs) == targets
    before = await query(settings.database_url, "SELECT spec FROM workloads ORDER BY id")
    await lose(settings.database_url)
    async with run_scheduler(settings):
        assert (await user.until(taker.id)).state is WorkloadState.SUCCEEDED
    assert await query(settings.database_url, "SELECT spec FROM workloads ORDER BY id") == before
