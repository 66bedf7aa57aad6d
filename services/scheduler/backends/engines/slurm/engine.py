"""The engine for Slurm: native jobs are its jobs, many of one shape are the tasks of an array."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic

from contracts.errors import RefusedError, ShunterError
from contracts.states import Reason
from services.scheduler.backends.base import Capability, Capacity
from services.scheduler.backends.engines.base import (
    Engine,
    EngineMeans,
    Native,
    NativeState,
    Order,
    Seen,
    Started,
)

from .batch import Batch, Limits, batches_of
from .choices import Choices, choose
from .door import Door
from .doors import door_of
from .farewells import Farewells
from .nodes import capacity_of, limits_of
from .options import SlurmOptions
from .register import Register
from .settings import SlurmSettings

__all__ = ["SlurmEngine"]

_UNSURE = 600.0
"""Seconds after a restart of the controller in which nobody knows who ended what."""
_AT_ONCE = 4
"""Batches that are handed over at the same time."""


class SlurmEngine(Engine):
    """Slurm, on its login node, over SSH or by slurmrestd."""

    kind = "slurm"
    Settings = SlurmSettings
    Options = SlurmOptions
    capabilities = frozenset({Capability.GPUS, Capability.MULTI_NODE})
    mpirun = "srun"
    settings: SlurmSettings

    def __init__(self, settings: SlurmSettings, means: EngineMeans, door: Door | None = None) -> None:
        super().__init__(settings, means)
        self.looks_every = settings.every
        self._door = door or door_of(settings)
        self._register = Register(means.site)
        self._partitions: dict[str, int | None] | None = None
        self._ending = Farewells(settings.last_words)
        self._counts = (0, 0)
        self._restarted = -_UNSURE

    async def close(self) -> None:
        """Let go of connections."""
        await self._door.close()

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start those that the queue does not know yet; those of one shape are one array."""
        try:
            there = await self._queue(())
            limits = await self._limits()
        except ShunterError as error:
            return [Started(error=error) for _ in orders]
        answers = {name: Started(seen.native_id) for name, seen in there.items()}
        fresh = [order for order in orders if order.name not in there]
        chosen = self._choose(fresh, answers)
        room = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._submit(batch, answers, room) for batch in batches_of(chosen, limits)))
        return [answers[order.name] for order in orders]

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:
        """Ask the queue for all, and the accounting for those that the queue has forgotten."""
        found = await self._queue(known)
        missing = {native.native_id: native.name for native in known if native.native_id and native.name not in found}
        if missing:
            rows = await self._door.ended(missing)
            found.update(self._register.read_ended(rows, missing))
        missing = {native_id: name for native_id, name in missing.items() if name not in found}
        vanished = self._register.read_vanished(missing, found)
        if vanished and not await self._was_restarted():
            found.update(vanished)
        await self._doubt(found, known)
        await self._end([found[name] for name in self._ending.names() if name in found])
        self._ending.keep(found)
        return found

    async def _doubt(self, found: dict[str, Seen], known: Collection[Native]) -> None:
        """Take what is said to be canceled for lost after a crash of the controller, which gives numbers again."""
        canceled = [native.name for native in known if _is_canceled(found.get(native.name))]
        if canceled and await self._was_restarted():
            found.update((name, replace(found[name], ending=Reason.LOST)) for name in canceled)

    async def _was_restarted(self) -> bool:
        """Say whether the controller was, lately: one that crashed may have lost what nobody took out."""
        before = await self._door.facts()
        if (await self._door.facts(fresh=True)).booted != before.booted:
            self._restarted = monotonic()
        return monotonic() - self._restarted < _UNSURE

    async def stop(self, natives: Collection[Native]) -> None:
        """Take out what waits and tell the pilots of what runs; those that stay are ended at a later look."""
        found = await self._queue(natives)
        await self._end([found[native.name] for native in natives if native.name in found])

    async def _end(self, those: Sequence[Seen]) -> None:
        to_tell, to_end = self._ending.sort(those)
        if to_end:
            await self._door.end(to_end)
        if to_tell:
            await self._door.warn(to_tell)

    async def remove(self, natives: Collection[Native]) -> None:
        """End what Slurm might start again after all, and remove its output.

        They are found by their names: a controller that crashed gives the numbers of jobs that it has lost to others.
        """
        found = await self._queue(natives)
        names = {native.name for native in natives}
        hanging = self._register.hanging
        left = [
            one.native_id
            for name, one in found.items()
            if name in names and (one.state is not NativeState.ENDED or name in hanging)
        ]
        if left:
            await self._door.end(left)
        others = {seen.native_id for name, seen in found.items() if name not in names}
        done = {native.native_id for native in natives if native.native_id} - others
        if done:
            await self._door.sweep(done)

    async def capacity(self) -> Capacity:
        """Sum up the nodes that are up."""
        nodes = await self._door.nodes()
        self._partitions = limits_of(nodes)
        running, queued = self._counts
        return capacity_of(nodes, running=running, queued=queued)

    async def _limits(self) -> Limits:
        facts = await self._door.facts()
        if self._partitions is None:
            self._partitions = limits_of(await self._door.nodes())
        return Limits(
            site=self.means.site,
            last_words=self.settings.last_words,
            over_time=facts.over_time,
            largest_array=facts.largest_array,
            partitions=self._partitions,
        )

    def _choose(self, orders: Iterable[Order], answers: dict[str, Started]) -> list[tuple[Order, Choices]]:
        chosen: list[tuple[Order, Choices]] = []
        for order in orders:
            try:
                chosen.append((order, choose(order, self.settings)))
            except RefusedError as error:
                answers[order.name] = Started(error=error)
        return chosen

    async def _submit(self, batch: Batch, answers: dict[str, Started], room: asyncio.Semaphore) -> None:
        async with room:
            try:
                job = await self._door.submit(batch)
            except ShunterError as error:
                answers.update((order.name, Started(error=error)) for order in batch.orders)
                return
        ids = batch.native_ids(job)
        self._register.note(job, [order.name for order in batch.orders])
        answers.update((order.name, Started(native_id)) for order, native_id in zip(batch.orders, ids, strict=True))

    async def _queue(self, known: Collection[Native]) -> dict[str, Seen]:
        """Read the queue; arrays that we do not remember are asked for the names of their tasks."""
        rows = await self._door.queue()
        strangers = self._register.strangers(rows, known)
        if strangers:
            self._register.learn(await self._door.comments(strangers))
        found = self._register.read(rows, known)
        states = [seen.state for seen in found.values()]
        self._counts = (states.count(NativeState.RUNNING), states.count(NativeState.WAITING))
        return found


def _is_canceled(seen: Seen | None) -> bool:
    return seen is not None and seen.ending is Reason.CANCELED
