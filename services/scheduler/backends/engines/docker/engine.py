"""Native jobs as containers of one Docker or Podman engine."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from time import monotonic
from typing import ClassVar

from pydantic import BaseModel

from contracts.errors import ShunterError
from services.scheduler.backends.base import Capability, Capacity
from services.scheduler.backends.engines.base import Engine, EngineMeans, Native, NativeState, Order, Seen, Started
from services.scheduler.containers.link import Link
from services.scheduler.containers.pulls import Pulls

from .container import image_of, waiting
from .endings import Endings
from .labels import STAGE, asked, gpus_of, of_backend
from .launches import Launched, Launches
from .room import Machine, Room, Wants
from .settings import DockerOptions, DockerSettings
from .stops import Stops
from .views import Glance, glance_of

__all__ = ["DockerEngine"]

_SWEEP = 300.0
"""Seconds between two looks for volumes whose container somebody else removed."""


class DockerEngine(Engine):
    """One container for each native job, found again by its labels."""

    kind = "docker"
    Settings: ClassVar[type[BaseModel]] = DockerSettings
    Options: ClassVar[type[BaseModel] | None] = DockerOptions
    capabilities = frozenset({Capability.GPUS, Capability.IMAGES})
    looks_every = 1.0

    def __init__(self, settings: DockerSettings, means: EngineMeans) -> None:
        super().__init__(settings, means)
        self._settings = settings
        self._link = Link(settings)
        self._pulls = Pulls(settings, self._link)
        self._stops = Stops(self._link, settings.grace)
        self._endings = Endings(self._link)
        self._launches = Launches(settings, means, self._link)
        self._changing = asyncio.Lock()
        """Held by whoever starts or stops containers: what waits becomes another one on its way."""
        self._machine: Machine | None = None
        self._swept = -_SWEEP
        self._swept_after = 0
        """Outages that there had been by then: calls broke off in each."""

    async def close(self) -> None:
        """Let go of the connection."""
        await self._launches.close()
        await self._pulls.close()
        await self._link.close()

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Make a container for each, and run those for which there is room."""
        try:
            async with self._changing:
                there = {one.name: one.id for one in await self._list(of_backend(self.means))}
                machine = await self._ask_machine()
                made = await asyncio.gather(*(self._make(order, machine, there.get(order.name)) for order in orders))
                await self._go_on({order.name for order in orders})
        except ShunterError as error:
            return [Started(error=error) for _ in orders]
        launched = await self._launches.settled([order.name for order in orders])
        self._launches.forget(launched)
        return [_started(one, launched.get(order.name)) for order, one in zip(orders, made, strict=True)]

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:
        """List all containers; have those that are expected run if there is room now, and ask how others ended."""
        node = (await self._ask_machine()).name
        async with self._changing:
            everybody = await self._go_on({native.name for native in known})
        found = self._ours(everybody)
        await self._stops.press_on(found)
        await self._sweep()
        ended = await self._endings.of(found, node)
        # Of two with one name, the one that runs counts.
        seen = {one.name: ended.get(one.id) or one.seen(node) for one in sorted(found, key=lambda one: one.runs)}
        return {**self._launches.gone, **seen}

    async def stop(self, natives: Collection[Native]) -> None:
        """Send SIGTERM; a later look sends SIGKILL to those that still run. What was not begun is removed."""
        async with self._changing:
            await self._stops.stop(await self._find(natives))

    async def remove(self, natives: Collection[Native]) -> None:
        """Remove containers, and their volumes with them."""
        async with self._changing:
            found = await self._find(natives)
            await asyncio.gather(*(self._launches.remove(one.id) for one in found))
            self._launches.forget(native.name for native in natives)

    async def capacity(self) -> Capacity:
        """Return the machine less what containers of any Shunter were promised."""
        self._machine = None
        everybody, machine = await self._list({STAGE: ""}), await self._ask_machine()
        ours = self._ours(everybody)
        running = sum(one.runs and one.state is NativeState.RUNNING for one in ours)
        return self._room(machine, everybody).capacity(running, sum(not one.runs for one in ours))

    async def _make(self, order: Order, machine: Machine, there: str | None) -> Started:
        """Make the container of a native job that waits, unless there is one."""
        if there is not None:
            return Started(there)
        try:
            wants = Wants.of(order, self._settings)
            Room(self._settings, machine).refuse(wants, order.nodes)
            config = waiting(order, wants, self._settings, self.means)
            await self._pulls.have(image_of(order, self._settings))
            made = await self._link.call(lambda client: client.create_container_from_config(config, order.name))
            return Started(str(made["Id"]))
        except ShunterError as error:
            return Started(error=error)

    async def _go_on(self, wanted: Collection[str]) -> Sequence[Glance]:
        """Begin to run what is wanted and fits; returns all containers as they were before."""
        machine = await self._ask_machine()
        busy = self._launches.busy  # what ends while we ask is shown as it was
        everybody = await self._list({STAGE: ""})
        room = self._room(machine, everybody)
        settled = [one for one in self._ours(everybody) if one.name not in busy]
        await self._launches.begin(settled, room, wanted)
        return everybody

    def _room(self, machine: Machine, everybody: Sequence[Glance]) -> Room:
        living = {one.id: gpus_of(one.labels) for one in everybody if one.runs and one.state is not NativeState.ENDED}
        names = {one.name for one in everybody if one.id in living}
        for one in self._ours(everybody):
            if one.name not in names and (gpus := self._launches.gpus_of(one.name)) is not None:
                living[one.id] = gpus
        taken = [one.wants for one in everybody if one.id in living]
        return Room(self._settings, machine, taken, [gpu for gpus in living.values() for gpu in gpus])

    def _ours(self, everybody: Sequence[Glance]) -> list[Glance]:
        return [one for one in everybody if of_backend(self.means).items() <= one.labels.items()]

    async def _find(self, natives: Collection[Native]) -> list[Glance]:
        """Return the containers of native jobs: their ids change when they begin to run."""
        names = {native.name for native in natives}
        await self._launches.settled(names)
        return [one for one in await self._list(of_backend(self.means)) if one.name in names]

    async def _list(self, labels: Mapping[str, str]) -> list[Glance]:
        listed = await self._link.call(lambda client: client.containers(all=True, filters=asked(labels)))
        return [glance_of(one) for one in listed]

    async def _ask_machine(self) -> Machine:
        if self._machine is None:
            info = await self._link.call(lambda client: client.info())
            self._machine = Machine(str(info["Name"]), int(info["NCPU"]), int(info["MemTotal"]))
        return self._machine

    async def _sweep(self) -> None:
        """Remove volumes that outlived their containers. Those of containers being made are not touched."""
        outages = self._link.outages
        if monotonic() - self._swept > _SWEEP or outages != self._swept_after:
            self._swept, self._swept_after = monotonic(), outages
            await self._link.call(lambda client: client.prune_volumes(asked(of_backend(self.means))))


def _started(made: Started, launched: Launched | None) -> Started:
    """Return what is said of a start: what waits was started too, only what the engine said no to was not."""
    if made.error is not None or launched is None or (launched.error is not None and not launched.is_gone):
        return made
    return Started(launched.native_id) if launched.error is None else Started(error=launched.error)
