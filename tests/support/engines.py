"""A cluster in memory that can have bad days. The folder `entries` offers it as a package of a site's own would."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from contracts.errors import RefusedError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.base import Capability, Capacity
from services.scheduler.backends.engines.base import (
    Engine,
    EngineMeans,
    Launch,
    Native,
    NativeState,
    Order,
    Seen,
    Started,
)
from services.scheduler.natives.launching import Launcher

__all__ = ["ENTRIES", "WORLDS", "MemoryEngine", "PlainLauncher", "World"]

ENTRIES = Path(__file__).parent / "entries"
"""To be on the path of whoever is to find these engines."""

if str(ENTRIES) not in sys.path:
    sys.path.append(str(ENTRIES))


@dataclass
class World:
    """What a cluster has, whoever looks at it: it outlives engines, as a real one does."""

    orders: dict[str, Order] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)
    """How often a native job really began, by name."""
    away: str = ""
    """Why nobody answers."""
    breaks_after_start: int = 0
    """So many calls to start something do it, and then break off."""
    fails_on: str = ""
    """Orders of this title make the engine stumble, whatever is started with them."""
    stops_at_once: bool = True
    begins_at_once: bool = True
    cpus: float = 64
    takes: int | None = None
    """How many native jobs it takes in all, before it refuses what more comes; none are as many as come."""

    def put(self, name: str, **values: Any) -> None:
        """Let a native job stand otherwise than it did."""
        self.seen[name] = replace(self.seen[name], **values)

    def end(self, name: str, ending: Reason | None = None, exit_code: int | None = 0, reason: str = "") -> None:
        """Let a native job end."""
        self.put(name, state=NativeState.ENDED, ending=ending, exit_code=exit_code, reason=reason)

    def begin_with(self, name: str) -> None:
        """Let one begin."""
        self.put(name, state=NativeState.RUNNING, reason="", node="m1")

    def begin(self) -> None:
        """Let all begin that wait, and all that come."""
        self.begins_at_once = True
        for name in self.alive:
            self.begin_with(name)

    def forget(self, name: str) -> None:
        """Let the cluster know nothing of a native job any more."""
        del self.seen[name]

    @staticmethod
    def renamed(one: Seen, name: str) -> Seen:
        """Return one that is otherwise the same."""
        return replace(one, name=name)

    @property
    def alive(self) -> list[str]:
        """Return the names of what has not ended."""
        return [name for name, one in self.seen.items() if one.state is not NativeState.ENDED]


WORLDS: dict[str, World] = {}
"""By the word in an engine's settings."""


class _Settings(BaseModel):
    world: str


class _Options(BaseModel):
    partition: str = ""


class MemoryEngine(Engine):
    """An engine on a `World`."""

    kind = "memory"
    Settings = _Settings
    Options = _Options
    capabilities = frozenset({Capability.GPUS, Capability.IMAGES, Capability.MULTI_NODE})
    looks_every = 0.1

    def __init__(self, settings: _Settings, means: EngineMeans) -> None:
        super().__init__(settings, means)
        self.world = WORLDS.setdefault(settings.world, World())

    def _come(self, call: str) -> World:
        self.world.calls[call] += 1
        if self.world.away:
            raise UnavailableError(self.world.away)
        return self.world

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Take them; what asks for the partition `none` is refused."""
        world = self._come("start")
        await asyncio.sleep(0)
        if any(order.title == world.fails_on for order in orders):
            raise RuntimeError("a bug")
        answers = [self._start(order) for order in orders]
        if world.breaks_after_start:
            world.breaks_after_start -= 1
            raise UnavailableError("the connection broke off")
        return answers

    def _start(self, order: Order) -> Started:
        if order.options.get("partition") == "none":
            return Started(error=RefusedError("there is no partition 'none'"))
        if order.cpus > self.world.cpus:
            return Started(error=RefusedError(f"{order.cpus:g} cores are more than there are"))
        if order.name not in self.world.seen and self.world.takes is not None:
            if self.world.takes == 0:
                return Started(error=RefusedError("the quota is used up"))
            self.world.takes -= 1
        if order.name not in self.world.seen:
            begins = self.world.begins_at_once
            state = NativeState.RUNNING if begins else NativeState.WAITING
            self.world.orders[order.name] = order
            self.world.started[order.name] += 1
            number = str(len(self.world.orders))
            reason = "" if begins else "Resources"
            self.world.seen[order.name] = Seen(order.name, number, state, reason, node="m1" if begins else "")
        return Started(self.world.seen[order.name].native_id)

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:  # noqa: ARG002 (all of a world is ours)
        """Show all whose names begin with our word."""
        world = self._come("look")
        await asyncio.sleep(0)
        return {name: one for name, one in world.seen.items() if name.startswith(f"{self.means.site}-")}

    async def stop(self, natives: Collection[Native]) -> None:
        """End them at once, or soon."""
        world = self._come("stop")
        for native in natives:
            if native.name in world.alive and world.stops_at_once:
                world.end(native.name, Reason.CANCELED, None, "stopped")

    async def remove(self, natives: Collection[Native]) -> None:
        """Forget them."""
        world = self._come("remove")
        for native in natives:
            world.seen.pop(native.name, None)

    async def capacity(self) -> Capacity:
        """Say how large it is."""
        world = self._come("capacity")
        taken = sum(world.orders[name].cpus for name in world.alive)
        free, memory = max(0.0, world.cpus - taken), 2**36
        return Capacity(
            cpus=world.cpus,
            cpus_free=free,
            memory=memory,
            memory_free=memory,
            gpus=8,
            gpus_free=8,
            largest_cpus=world.cpus,
            largest_memory=memory,
            largest_gpus=8,
            running=len(world.alive),
        )


class PlainLauncher(Launcher):
    """Launches a script that is given; without one it sleeps until it is ended."""

    def __init__(self, script: str = "exec sleep 60\n", file: Path = Path("/dev/null")) -> None:
        self.script = script
        self.file = file

    async def launch(self, native: str, backend: str) -> Launch:
        """Return it."""
        return Launch(self.script, {"SHUNTER_PILOT_NAME": native, "SHUNTER_TEST_BACKEND": backend}, self.file)
