"""Ray, over the API of its jobs: one job of Ray's is one native job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from time import monotonic, time
from typing import ClassVar, TypeVar

from contracts.errors import ShunterError, UnavailableError
from services.scheduler.backends.base import Capability, Capacity
from services.scheduler.backends.engines.base import Engine, EngineMeans, Native, Order, Seen, Started

from .answers import RayJob
from .client import RayClient
from .gpus import GpuDemand, GpuKinds
from .options import RayOptions
from .orders import build, options_of
from .room import Room
from .settings import RaySettings
from .sight import has_ended, see
from .sweep import is_sweep, sweep

__all__ = ["RayEngine"]

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")

_FRESH = 2.0
"""Seconds for which the room that was seen is believed."""
_SWEEPS = 15.0
"""Seconds after which a job that is to leave the queue is swept again."""
_RETURNS = 60.0
"""Seconds for which a removed job may come back: what watches over it in Ray writes that it failed, if it was removed
before its end was noticed there."""
_PATIENT = 1.5
"""Seconds that a job takes to start where there is room: nobody is asked why it waits before."""
_OLD = 86_400.0
"""Seconds after which a job that ended is nobody's: it came back after we had forgotten it."""
_PAUSE = 0.13 / 2**20
"""Seconds of pause after a look for each byte of the list: 10,000 jobs are 50 MB, which cost 0.2 s of CPU to read, so
they are looked at each 6 s, for 3 % of a core."""


class RayEngine(Engine):
    """Keeps nothing: all is in Ray's list. The models of GPUs that it has seen are forgotten with it."""

    kind: ClassVar[str] = "ray"
    Settings = RaySettings
    Options = RayOptions
    capabilities = frozenset({Capability.GPUS})

    settings: RaySettings

    def __init__(self, settings: RaySettings, means: EngineMeans) -> None:
        super().__init__(settings, means)
        self.looks_every = settings.looks_every
        self._ray = RayClient(settings)
        self._kinds = GpuKinds(settings.gpu_models)
        self._room: tuple[float, Room] | None = None
        self._counts = (0, 0)
        self._waiting: dict[str, float] = {}
        self._swept: dict[str, float] = {}
        self._removed: dict[str, float] = {}

    async def close(self) -> None:
        """Let go of the connections."""
        await self._ray.close()

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start each; Ray has no call for many, so some go side by side."""
        return await _each(orders, self._start)

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:  # noqa: ARG002 (one call tells all)
        """Read the list of all jobs, once; what keeps jobs waiting is asked only if some do for long."""
        jobs = await self._jobs()
        ours = {name: job for job in jobs if (name := job.submission_id or "").startswith(f"{self.means.site}-")}
        before, since = self._waiting, monotonic()
        self._waiting = {name: before.get(name, since) for name, job in ours.items() if job.status == "PENDING"}
        self._counts = (sum(job.status == "RUNNING" for job in ours.values()), len(self._waiting))
        reasons = await self._reasons() if any(at < since - _PATIENT for at in self._waiting.values()) else {}
        gone = await self._remove_again(jobs)
        return {name: see(job, name, reasons.get) for name, job in ours.items() if name not in gone}

    async def stop(self, natives: Collection[Native]) -> None:
        """Have what runs end, and take what waits out of the queue."""
        names = {native.native_id or native.name for native in natives}
        jobs = await self._jobs()
        alive = [job for job in jobs if job.submission_id in names and not has_ended(job)]
        await _each([job.submission_id or "" for job in alive], self._ray.stop)
        waiting = [job.submission_id or "" for job in alive if job.status == "PENDING"]
        await self._sweep([name for name in waiting if self._swept.get(name, 0.0) < monotonic() - _SWEEPS])

    async def remove(self, natives: Collection[Native]) -> None:
        """Have Ray forget them."""
        names = [native.native_id or native.name for native in natives]
        since = monotonic()
        self._removed = {name: at for name, at in self._removed.items() if at > since - _RETURNS}
        self._removed |= dict.fromkeys(names, since)
        await _each(names, self._ray.delete)

    async def capacity(self) -> Capacity:
        """Return the room of the nodes."""
        return (await self._seen_room()).capacity(self._kinds, *self._counts)

    async def _start(self, order: Order) -> Started:
        try:
            options = options_of(order)
            job = build(order, options, await self._demand(order), self.settings)
            error = await self._ray.submit(job)
            # Whatever went wrong, it counts only if the job is not there: it may have been started long ago.
            if error is None or await self._ray.has(order.name):
                return Started(native_id=order.name)
        except ShunterError as failure:
            return Started(error=failure)
        return Started(error=error)

    async def _demand(self, order: Order) -> GpuDemand:
        if order.gpus and (order.gpu_model or order.gpu_memory):
            await self._seen_room()
        return self._kinds.demand(order)

    async def _jobs(self) -> list[RayJob]:
        jobs, size = await self._ray.jobs()
        self.looks_every = max(self.settings.looks_every, size * _PAUSE)
        return jobs

    async def _seen_room(self) -> Room:
        if self._room is None or monotonic() - self._room[0] > _FRESH:
            nodes, status = await asyncio.gather(self._ray.nodes(), self._ray.status())
            self._kinds.learn(nodes)
            self._room = (monotonic(), Room(tuple(nodes), status))
        return self._room[1]

    async def _sweep(self, names: Sequence[str]) -> None:
        """Take what waits out of the queue; a sweep takes some seconds, in which no other one is started for it."""
        since = monotonic()
        self._swept = {name: at for name, at in self._swept.items() if at > since - _SWEEPS}
        if names:
            error = await self._ray.submit(sweep(names, self.means.site, self.settings))
            if error:
                raise UnavailableError(f"what waits cannot be taken out of the queue: {error.detail}")
            self._swept |= dict.fromkeys(names, since)

    async def _reasons(self) -> dict[str, str]:
        """Say why jobs wait, by their names."""
        room, demands = await asyncio.gather(self._seen_room(), self._ray.demands())
        return {name: room.waits_for(demand) for name, demand in demands.items()}

    async def _remove_again(self, jobs: Iterable[RayJob]) -> set[str]:
        """Remove what Ray has written anew, what is very old, and sweeps that are over."""
        old = (time() - _OLD) * 1000
        over: set[str] = set()
        for job in jobs:
            name = job.submission_id or ""
            is_ours = name.startswith(f"{self.means.site}-") and (job.end_time or inf) < old
            if has_ended(job) and (is_ours or name in self._removed or is_sweep(job, self.means.site)):
                over.add(name)
        await _each(sorted(over), self._ray.delete)
        return over & self._removed.keys()


async def _each(items: Iterable[_Item], act: Callable[[_Item], Awaitable[_Done]]) -> list[_Done]:
    """Do it with all, of which the client lets some go side by side."""
    return list(await asyncio.gather(*(act(item) for item in items)))
