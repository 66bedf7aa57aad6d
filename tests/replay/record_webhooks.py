"""Records histories of lines of deliveries: `python -m tests.replay.record_webhooks RELEASE`."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from temporalio.client import Client

from contracts.subscriptions import DeliveryState
from services.chassis.bus import Bus
from services.scheduler.temporal import connect
from tests.replay.record import HISTORIES, _without_machine
from tests.support.hooks import Got, Hooker, Receiver, Says, allowing, run_receiver
from tests.support.runner import FakeRunner
from tests.support.scheduler import User, run_scheduler, scheduler_settings
from tests.support.servers import run_nats, run_temporal


class _Scene:
    """A job with a callback to a receiver that answers as it is told."""

    def __init__(self, client: Client, bus: Bus, receiver: Receiver) -> None:
        self._client = client
        self._bus = bus
        self._receiver = receiver

    async def arrives(self) -> str:
        """Everything arrives at once."""
        self._receiver.answer = lambda _: Says()
        return await self._run(DeliveryState.DELIVERED)

    async def is_tried_again(self) -> str:
        """The first tries fail."""

        def stumble(got: Got) -> Says:
            return Says() if sum(one.body == got.body for one in self._receiver.got) > 2 else Says(503)

        self._receiver.answer = stumble
        return await self._run(DeliveryState.DELIVERED, "succeeded")

    async def dies_and_is_sent_again(self) -> str:
        """It is given up, and sent again by hand."""
        self._receiver.answer = lambda _: Says(500)
        job = await self._run(DeliveryState.DEAD, "succeeded")
        (dead,) = await Hooker(self._bus).deliveries(workload_id=job)
        self._receiver.answer = lambda _: Says()
        await Hooker(self._bus).redeliver(dead.id)
        await Hooker(self._bus).until(1, workload_id=job, states=[DeliveryState.DELIVERED])
        return job

    async def _run(self, state: DeliveryState, *events: str) -> str:
        job = await User(self._bus).submit(callback={"url": self._receiver.url(), "events": list(events)})
        await User(self._bus).until(job.id)
        await Hooker(self._bus).until(1 if events else 5, workload_id=job.id, states=[state])
        return job.id

    async def write(self, job: str, name: str) -> None:
        """Write the history of the last run of a job's line."""
        handle = self._client.get_workflow_handle(f"hook/{job}")
        await handle.result()
        written = {"id": handle.id, "history": json.loads((await handle.fetch_history()).to_json())}
        folder = HISTORIES / "webhooks"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(_without_machine(json.dumps(written, indent=1)) + "\n")


async def main(release: str) -> None:
    """Run every kind of life on real servers and write its history."""
    folder = Path(tempfile.mkdtemp())
    async with run_nats(folder) as nats, run_temporal(folder) as temporal, run_receiver() as receiver:
        settings = allowing(scheduler_settings(folder, nats, temporal), attempts=3, first_pause=0.5)
        bus, runner = Bus(nats, "record"), FakeRunner(nats)
        await bus.connect()
        await runner.start()
        async with run_scheduler(settings):
            scene = _Scene(await connect(settings.scheduler.temporal), bus, receiver)
            await scene.write(await scene.arrives(), f"{release}-arrives.json")
            await scene.write(await scene.is_tried_again(), f"{release}-is-tried-again.json")
            await scene.write(await scene.dies_and_is_sent_again(), f"{release}-is-sent-again-by-hand.json")
        await runner.stop()
        await bus.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
