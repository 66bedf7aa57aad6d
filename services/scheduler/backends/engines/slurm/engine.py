"""The engine for Slurm: native jobs are its jobs, many of one shape are the tasks of an array."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
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
from .identity import number_of
from .nodes import capacity_of, limits_of
from .options import SlurmOptions
from .register import Register, View
from .settings import SlurmSettings

__all__ = ["SlurmEngine"]

_AT_ONCE = 4
"""Batches that are handed over at the same time."""
_UNSURE = 600.0
"""Seconds after the controller was started again in which Slurm may end jobs of its own accord, and say `CANCELLED`.

A node that still has a job of a number that was lost and given again refuses the new one, and takes it out.
"""


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
        self._booted = ""
        self._restarted = -_UNSURE

    async def close(self) -> None:
        """Let go of connections."""
        await self._door.close()

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start those that the queue does not know yet; those of one shape are one array."""
        try:
            there = {} if all(order.fresh for order in orders) else (await self._queue(())).found
            limits = await self._limits()
        except ShunterError as error:
            return [Started(error=error) for _ in orders]
        answers = {name: Started(seen.native_id) for name, seen in there.items()}
        fresh = [order for order in orders if order.name not in there]
        chosen = self._choose(fresh, answers)
        room = asyncio.Semaphore(_AT_ONCE)
        taken = await asyncio.gather(*(self._submit(batch, answers, room) for batch in batches_of(chosen, limits)))
        answers.update(await self._known_by({job: batch for job, batch in taken if job}))
        return [answers[order.name] for order in orders]

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:
        """Ask the queue for all, and the accounting for those that the queue has forgotten."""
        view = await self._queue(known)
        found = view.found
        await self._end([found[name] for name in self._ending.names() if name in found], view.doubles)
        self._ending.keep(found)
        missing = {native.native_id: native.name for native in known if native.native_id and native.name not in found}
        kept = 0.0
        if missing:
            rows = await self._door.ended({number_of(native_id) for native_id in missing})
            found.update(self._register.read_ended(rows, missing))
            kept = (await self._door.facts()).kept
        missing = {native_id: name for native_id, name in missing.items() if name not in found}
        return await self._doubted(found | self._register.read_vanished(missing, found, kept), known)

    async def _doubted(self, found: dict[str, Seen], known: Collection[Native]) -> dict[str, Seen]:
        """Take what is said to be canceled for lost after a crash of the controller: maybe nobody canceled it."""
        canceled = [native.name for native in known if _is_canceled(found.get(native.name))]
        if not self._booted or canceled:
            booted = (await self._door.facts(fresh=bool(canceled))).booted
            if self._booted and booted != self._booted:
                self._restarted = monotonic()
            self._booted = booted
        if canceled and monotonic() - self._restarted < _UNSURE:
            found.update((name, replace(found[name], ending=Reason.LOST)) for name in canceled)
        return found

    async def stop(self, natives: Collection[Native]) -> None:
        """Take out what waits and tell the pilots of what runs; those that stay are ended at a later look."""
        view = await self._queue(natives)
        await self._end([view.found[native.name] for native in natives if native.name in view.found], view.doubles)

    async def _end(self, those: Sequence[Seen], doubles: Sequence[Seen]) -> None:
        """Go on with what is to end, and end what is there twice: its pilot gets nothing to do."""
        to_tell, to_end = self._ending.sort(those)
        to_end += [one.native_id for one in doubles]
        if to_end:
            await self._door.end(to_end)
        if to_tell:
            await self._door.warn(to_tell)

    async def remove(self, natives: Collection[Native]) -> None:
        """End what Slurm might start again after all, and remove its output.

        They are found by their names: a controller that crashed gives the numbers of jobs that it has lost to others.
        """
        view = await self._queue(natives)
        names = {native.name for native in natives}
        left = [one for one in (*view.found.values(), *view.doubles) if one.name in names and view.is_left(one)]
        if left:
            await self._door.end([one.native_id for one in left])
        others = {number_of(seen.native_id) for name, seen in view.found.items() if name not in names}
        done = {number_of(native.native_id) for native in natives if native.native_id} - others
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

    async def _submit(self, batch: Batch, answers: dict[str, Started], room: asyncio.Semaphore) -> tuple[str, Batch]:
        """Hand a batch over; returns the number that it got, if it was taken."""
        async with room:
            try:
                return await self._door.submit(batch), batch
            except ShunterError as error:
                answers.update((order.name, Started(error=error)) for order in batch.orders)
                return "", batch

    async def _known_by(self, taken: Mapping[str, Batch]) -> dict[str, Started]:
        """Return the native ids of what was started; Slurm tells the time that belongs to a number only when asked."""
        times: dict[tuple[str, str], int] = {}
        if taken:
            with suppress(ShunterError):  # it is started all the same; the next look completes its id
                times = {(one.number, one.name): one.submitted for one in await self._door.details(taken)}
        answers: dict[str, Started] = {}
        for job, batch in taken.items():
            submitted = times.get((job, batch.name), 0)
            names = [order.name for order in batch.orders]
            self._register.note(job, submitted, names)
            ids = (Started(native_id) for native_id in batch.native_ids(job, submitted))
            answers.update(zip(names, ids, strict=True))
        return answers

    async def _queue(self, known: Collection[Native]) -> View:
        """Read the queue; arrays that we do not remember are asked for the names of their tasks."""
        rows = await self._door.queue()
        strangers = self._register.strangers(rows, known)
        if strangers:
            self._register.learn(await self._door.details(strangers))
        view = self._register.read(rows, known)
        states = [seen.state for seen in view.found.values()]
        self._counts = (states.count(NativeState.RUNNING), states.count(NativeState.WAITING))
        return view


def _is_canceled(seen: Seen | None) -> bool:
    return seen is not None and seen.ending is Reason.CANCELED
