"""Pilots for tests, on a cluster in memory: they speak the real protocol, but only pretend to run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import uuid4

import nats

from contracts.pilots import NextTask, PilotOrders
from contracts.queries import Reply
from contracts.runs import run_name
from contracts.subjects import query_subject
from services.scheduler.backends.engines.base import NativeState

from .engines import World
from .runner import FakeRunner

__all__ = ["FakePilots"]


@dataclass
class FakePilots(FakeRunner):
    """What a native job runs that has begun. One whose attempt runs for ever stays, until the cluster ends it."""

    world: World = field(default_factory=World)
    numbers_of: dict[str, int] = field(default_factory=dict)
    """How many attempts each native job was given."""

    async def start(self) -> None:
        """Connect, and look for native jobs that have begun."""
        self.connection = await nats.connect(self.settings.url)
        self._js = self.connection.jetstream()
        self._taking = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            for name in self.world.alive:
                if name not in self.numbers_of and self.world.seen[name].state is NativeState.RUNNING:
                    await self._fly(name)
            await asyncio.sleep(0.02)

    async def _fly(self, name: str) -> None:
        """Do what the pilot of one native job does."""
        incarnation = uuid4().hex
        self.numbers_of[name] = 0
        for number in range(1, 1000):
            orders = await self._ask(name, incarnation, number)
            if orders.task is None:
                break
            self.numbers_of[name] = number
            self.tasks.append(orders.task)
            await self._run(orders.task)
            if run_name(orders.task.workload_id, orders.task.attempt) in self.running:
                return
        if name in self.world.alive:
            self.world.end(name, None, 0 if self.numbers_of[name] else 94)

    async def _ask(self, name: str, incarnation: str, number: int) -> PilotOrders:
        token = self.world.orders[name].launch.env["SHUNTER_PILOT_TOKEN"]
        asked = NextTask(token=token, incarnation=incarnation, number=number).model_dump_json().encode()
        for _ in range(40):
            try:
                message = await self.connection.request(query_subject(NextTask), asked, timeout=2)
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                await asyncio.sleep(0.25)  # a scheduler that is restarting
                continue
            reply = Reply[PilotOrders].model_validate_json(message.data, extra="ignore")
            assert reply.answer, reply.problem
            return reply.answer
        raise TimeoutError("no scheduler answers")
