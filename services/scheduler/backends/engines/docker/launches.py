"""Has what waits run, as far as there is room. Each step may be repeated, whoever died after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from contracts.errors import InvalidError, RefusedError, ShunterError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import EngineMeans, NativeState, Seen
from services.scheduler.containers.link import BUSY, GONE, Link, status_of

from .container import handing_over, running
from .room import Room
from .settings import DockerSettings
from .views import Glance

__all__ = ["Launched", "Launches"]

_ASIDE = ".waits"
"""The end of the name of one that waited, for the moment in which another one takes its name."""


@dataclass(frozen=True, slots=True)
class Launched:
    """What came of it."""

    native_id: str
    error: ShunterError | None = None
    is_gone: bool = False
    """Whether the engine said no, so that it was removed; else nobody knows, and it is tried again."""

    def seen(self, name: str) -> Seen:
        """Return it as the keeper reads it, of what is gone."""
        ending = Reason.REFUSED if isinstance(self.error, RefusedError) else Reason.LOST
        return Seen(name, self.native_id, NativeState.ENDED, self.error.detail if self.error else "", ending)


class Launches:
    """The second half of a start: the first one made a container that waits."""

    def __init__(self, settings: DockerSettings, means: EngineMeans, link: Link) -> None:
        self._settings = settings
        self._means = means
        self._link = link
        self._busy: dict[str, asyncio.Task[Launched]] = {}
        self._gpus: dict[str, tuple[str, ...]] = {}
        """Of those that are busy."""
        self._gone: dict[str, Launched] = {}

    @property
    def gone(self) -> Mapping[str, Seen]:
        """Return what the engine said no to, until somebody removes it."""
        return {name: launched.seen(name) for name, launched in self._gone.items()}

    @property
    def busy(self) -> frozenset[str]:
        """Return the names of those that are being launched."""
        return frozenset(self._busy)

    def gpus_of(self, name: str) -> tuple[str, ...] | None:
        """Return the GPUs of a native job that is being launched; None of all others."""
        return self._gpus.get(name)

    async def begin(self, found: Sequence[Glance], room: Room, wanted: Collection[str]) -> None:
        """Begin to run what waits, is wanted, and fits; returns before it runs."""
        made = {one.name: one for one in found if one.runs}
        for one in made.values():
            if one.state is NativeState.WAITING and one.name in wanted and one.name not in self._busy:
                self._begin(one.name, self._try(one, self._start(one.id)), ())
        # The engine lists the newest first, and tells only the second in which each was made.
        waits = [one for one in reversed(found) if not one.runs and one.name not in self._busy]
        for one in sorted(waits, key=lambda one: (-one.priority, one.created)):
            if (there := made.get(one.name)) is not None:
                # What has its name runs, or has run, with its volumes.
                if one.name in wanted:
                    await self.remove(one.id, volumes=there.state is NativeState.ENDED)
            elif (gpus := room.take(one.wants)) is not None and one.name in wanted:
                self._begin(one.name, self._try(one, self._make(one, gpus)), gpus)

    async def settled(self, names: Iterable[str]) -> Mapping[str, Launched]:
        """Wait for those that are being launched; returns what came of it."""
        tasks = {name: self._busy[name] for name in names if name in self._busy}
        outcomes = await asyncio.gather(*tasks.values())
        return dict(zip(tasks, outcomes, strict=True))

    def forget(self, names: Iterable[str]) -> None:
        """Say no more of what the engine said no to."""
        for name in names:
            self._gone.pop(name, None)

    async def close(self) -> None:
        """Break off what is being launched; the next look goes on with it."""
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, name: str, launch: Coroutine[Any, Any, Launched], gpus: tuple[str, ...]) -> None:
        self._busy[name] = asyncio.create_task(launch)
        self._gpus[name] = gpus
        self._busy[name].add_done_callback(lambda task: self._end(name, task))

    def _end(self, name: str, task: asyncio.Task[Launched]) -> None:
        del self._busy[name], self._gpus[name]
        if not task.cancelled() and task.result().is_gone:
            self._gone[name] = task.result()

    async def remove(self, native_id: str, *, volumes: bool = True) -> None:
        """Remove a container; silent about what is gone, or going."""
        try:
            await self._link.call(lambda client: client.remove_container(native_id, v=volumes, force=True))
        except RefusedError as error:
            if status_of(error.__cause__) not in {GONE, BUSY}:
                raise

    async def _start(self, native_id: str) -> str:
        await self._link.call(lambda client: client.start(native_id))
        return native_id

    async def _try(self, one: Glance, run: Awaitable[str]) -> Launched:
        """Remove what the engine says no to; of what nobody knows, the next look sees."""
        try:
            return Launched(await run)
        except ShunterError as error:
            if status_of(error.__cause__) is None:
                return Launched(one.id, error)
            with suppress(ShunterError):  # then there is somebody at the next look who has it removed
                for name in (one.name, one.id):
                    await self.remove(name)
            if isinstance(error, RefusedError):
                error = InvalidError.of("image", f"{one.image} cannot run a job here: {error.detail}")
            return Launched(one.id, error, is_gone=True)

    async def _inspect(self, one: Glance) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = await self._link.call(lambda client: client.inspect_container(one.id))
        except RefusedError as error:
            if status_of(error.__cause__) == GONE:
                raise UnavailableError(f"{one.name} is not there any more") from None
            raise
        return found

    async def _make(self, one: Glance, gpus: tuple[str, ...]) -> str:
        waits = await self._inspect(one)
        archive, config = handing_over(waits, self._settings), running(waits, gpus, self._settings)
        await self._link.call(lambda client: client.put_archive(one.id, "/", archive))
        if waits["Name"] == f"/{one.name}":
            await self._link.call(lambda client: client.rename(one.id, one.name + _ASIDE))
        made = await self._link.call(lambda client: client.create_container_from_config(config, one.name))
        await self._start(str(made["Id"]))
        await self.remove(one.id, volumes=False)
        return str(made["Id"])
