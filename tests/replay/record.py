"""Records histories of the job workflow: `python -m tests.replay.record RELEASE`; the old ones are kept."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from temporalio.client import WorkflowHistory

from contracts.states import Reason, WorkloadState
from services.chassis.bus import Bus
from services.scheduler.placing.settings import PlacementSettings
from services.scheduler.settings import BackendSettings, SchedulerSettings
from services.scheduler.temporal import connect
from tests.support.calls import live_long
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import User, run_scheduler, scheduler_settings
from tests.support.servers import run_nats, run_temporal

HISTORIES = Path(__file__).parent / "histories"

Scenario = Callable[[User, FakeRunner], Awaitable[str]]


async def _succeeds(user: User, runner: FakeRunner) -> str:
    runner.decide = lambda _: Outcome()
    return (await user.submit(name="succeeds")).id


async def _fails_and_is_retried(user: User, runner: FakeRunner) -> str:
    runner.decide = lambda _: Outcome(exit_code=3)
    return (await user.submit(retries={"max": 1, "backoff": 0.1})).id


async def _is_canceled_while_running(user: User, runner: FakeRunner) -> str:
    runner.decide = lambda _: Outcome(exit_code=None)
    job = await user.submit()
    await user.until(job.id, WorkloadState.RUNNING)
    await user.cancel(job.id)
    return job.id


async def _is_held_and_started(user: User, runner: FakeRunner) -> str:
    runner.decide = lambda _: Outcome()
    job = await user.submit(hold=True)
    await user.until(job.id, WorkloadState.HELD)
    await user.start(job.id)
    return job.id


async def _is_held_and_canceled(user: User, _runner: FakeRunner) -> str:
    job = await user.submit(hold=True)
    await user.until(job.id, WorkloadState.HELD)
    await user.cancel(job.id)
    return job.id


async def _is_interrupted_and_runs_again(user: User, runner: FakeRunner) -> str:
    runner.decide = lambda task: Outcome(exit_code=None, reason=Reason.INTERRUPTED) if task.attempt == 1 else Outcome()
    job = await user.submit()
    await user.until(job.id, WorkloadState.RUNNING)
    task = runner.running.pop(f"{job.id}.1")
    await runner.report(task, *runner.end_of(Outcome(exit_code=143, reason=Reason.INTERRUPTED)))
    return job.id


async def _is_lost_and_runs_again(user: User, runner: FakeRunner) -> str:
    runner.decide = lambda task: Outcome(exit_code=None if task.attempt == 1 else 0)
    job = await user.submit()
    await user.until(job.id, WorkloadState.RUNNING)
    runner.running.clear()
    return job.id


async def _is_an_array_of_which_tasks_fail(user: User, runner: FakeRunner) -> str:
    runner.decide_task = lambda task, index: int(index == 3 and not (task.bundle and task.bundle.attempts))
    return (await user.submit(array={"count": 40}, retries={"max": 1, "backoff": 0.1})).id


async def _is_an_array_of_which_some_are_canceled(user: User, runner: FakeRunner) -> str:
    runner.decide_task = lambda _task, index: None if index < 2 else 0
    job = await user.submit(array={"count": 4})
    await user.until_counts(job.id, running=2, succeeded=2)
    await user.cancel_tasks(job.id, "0")
    await user.until_counts(job.id, canceled=1)
    await user.cancel(job.id)
    return job.id


async def _is_an_array_that_goes_to_another_backend(user: User, _runner: FakeRunner) -> str:
    place = {"backends": ["second", "local"], "patience": 1.0}
    return (await user.submit(array={"count": 8}, placement=place)).id


SCENARIOS: tuple[Scenario, ...] = (
    _succeeds,
    _fails_and_is_retried,
    _is_canceled_while_running,
    _is_held_and_started,
    _is_held_and_canceled,
    _is_interrupted_and_runs_again,
    _is_lost_and_runs_again,
    _is_an_array_of_which_tasks_fail,
    _is_an_array_of_which_some_are_canceled,
    _is_an_array_that_goes_to_another_backend,
)


def _without_machine(text: str) -> str:
    """Leave out who recorded it: the worker's identity names the machine."""
    return re.sub(r'"identity": "[^"]*"', '"identity": "recorded"', text)


def _write(name: str, history: WorkflowHistory) -> None:
    HISTORIES.mkdir(exist_ok=True)
    written = {"id": history.workflow_id, "history": json.loads(history.to_json())}
    (HISTORIES / f"{name}.json").write_text(_without_machine(json.dumps(written, indent=1)) + "\n")


def _with_second(settings: SchedulerSettings) -> SchedulerSettings:
    """Return settings with a second backend, to which only those go that name it."""
    policy = {"default": {"order": "ordered", "backends": ["local"]}}
    changes = {
        "backends": [BackendSettings(), BackendSettings(name="second")],
        "placement": PlacementSettings.model_validate(policy),
    }
    return settings.model_copy(update={"scheduler": settings.scheduler.model_copy(update=changes)})


async def main(release: str, only: str = "") -> None:
    """Run every scenario whose name holds *only* on real servers and write its history."""
    folder = Path(tempfile.mkdtemp())
    async with run_nats(folder) as nats, run_temporal(folder) as temporal:
        settings = _with_second(scheduler_settings(folder, nats, temporal, every=0.1, silence=5))
        bus, runner = Bus(nats, "record"), FakeRunner(nats)
        busy = FakeRunner(nats, backend="second", takes=False)
        await bus.connect()
        await runner.start()
        await busy.start()
        async with run_scheduler(settings):
            await asyncio.sleep(1)
            client = await connect(settings.scheduler.temporal)
            for scenario in [scenario for scenario in SCENARIOS if only in scenario.__name__]:
                job = await scenario(User(bus), runner)
                await User(bus).until(job)
                await client.get_workflow_handle(job).result()
                history = await client.get_workflow_handle(job).fetch_history()
                _write(f"{release}-{scenario.__name__.strip('_').replace('_', '-')}", history)
            histories = [] if only else (await live_long(client))[2]
            for number, history in enumerate(histories, 1):
                _write(f"{release}-goes-on-in-a-fresh-history-{number}", history)
        await runner.stop()
        await busy.stop()
        await bus.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
