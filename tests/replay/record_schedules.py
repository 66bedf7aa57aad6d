"""Records histories of the runs of schedules: `python -m tests.replay.record_schedules RELEASE`."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from temporalio.client import Client, WorkflowHandle

from contracts.states import WorkloadState
from services.chassis.bus import Bus
from services.scheduler.temporal import connect
from services.scheduler.workflows.schedule import Fired, ScheduledRun, ScheduleInput
from tests.replay.record import HISTORIES, _without_machine
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import User, run_scheduler, scheduler_settings
from tests.support.schedules import Keeper
from tests.support.servers import run_nats, run_temporal

Handle = WorkflowHandle[ScheduledRun, Fired]


class _Scene:
    """A schedule whose runs are started by us and not by the clock."""

    def __init__(self, client: Client, task_queue: str, bus: Bus, runner: FakeRunner) -> None:
        self._client = client
        self._task_queue = task_queue
        self._bus = bus
        self._runner = runner

    async def run(self, name: str, *, exit_code: int | None, stay: bool = True) -> Handle:
        """Start a run and wait until its job runs or has ended."""
        self._runner.decide = lambda _: Outcome(exit_code=exit_code)
        made = await Keeper(self._bus).create(name=name)
        asked = ScheduleInput(schedule_id=made.id, stay=stay)
        handle = await self._client.start_workflow(
            ScheduledRun.run, asked, id=f"{made.id}-{name}", task_queue=self._task_queue
        )
        found = await Keeper(self._bus).settled(made.id)
        states = () if exit_code is not None else (WorkloadState.RUNNING,)
        await User(self._bus).until(found.recent_runs[0].job_id, *states)
        return handle


async def _write(handle: Handle, name: str) -> None:
    await handle.result()
    history = await handle.fetch_history()
    folder = HISTORIES / "schedules"
    folder.mkdir(exist_ok=True)
    written = {"id": handle.id, "history": json.loads(history.to_json())}
    (folder / name).write_text(_without_machine(json.dumps(written, indent=1)) + "\n")


async def main(release: str) -> None:
    """Run every kind of life on real servers and write its history."""
    folder = Path(tempfile.mkdtemp())
    async with run_nats(folder) as nats, run_temporal(folder) as temporal:
        settings = scheduler_settings(folder, nats, temporal)
        bus, runner = Bus(nats, "record"), FakeRunner(nats)
        await bus.connect()
        await runner.start()
        async with run_scheduler(settings):
            client = await connect(settings.scheduler.temporal)
            scene = _Scene(client, settings.scheduler.temporal.task_queue, bus, runner)
            await _write(await scene.run("stays", exit_code=0), f"{release}-stays-until-the-end.json")
            await _write(await scene.run("goes", exit_code=0, stay=False), f"{release}-goes-at-once.json")
            canceled = await scene.run("canceled", exit_code=None)
            await canceled.cancel()
            await _write(canceled, f"{release}-ends-its-job-for-the-next.json")
        await runner.stop()
        await bus.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
