"""Has what waits run, as far as there is room. Each step may be repeated, whoever died after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass

from contracts.errors import InvalidError, RefusedError, ShunterError
from contracts.states import Reason
from services.scheduler.backends.engines.base import EngineMeans, NativeState, Seen

from .container import handing_over, running
from .link import BUSY, GONE, Link, status_of
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

    def seen(self, one: Glance, node: str) -> Seen:
        """Return it as the keeper reads it."""
        if self.error is None:
            return Seen(one.name, self.native_id, NativeState.RUNNING, "it was started just now", node=node)
        if not self.is_gone:
            return Seen(one.name, one.id, NativeState.WAITING, self.error.detail, node=node)
        ending = Reason.REFUSED if isinstance(self.error, RefusedError) else Reason.LOST
        return Seen(one.name, one.id, NativeState.ENDED, self.error.detail, ending, None, node)


class Launches:
    """The second half of a start: the first one made a container that waits."""

    def __init__(self, settings: DockerSettings, means: EngineMeans, link: Link) -> None:
        self._settings = settings
        self._means = means
        self._link = link

    async def go_on(self, found: Collection[Glance], room: Room) -> Mapping[str, Launched]:
        """Run what waits and fits; returns what came of it, by name. Silent about what has to wait."""
        made = {one.name: one for one in found if one.runs}
        tasks = {one.name: self._run(one) for one in made.values() if one.state is NativeState.WAITING}
        # The engine lists the newest first, and tells only the second in which each was made.
        waits = [one for one in reversed(list(found)) if not one.runs]
        for one in sorted(waits, key=lambda one: (-one.priority, one.created)):
            if (there := made.get(one.name)) is not None:
                # What has its name runs, or has run, with its volumes.
                await self.remove(one.id, volumes=there.state is NativeState.ENDED)
            elif (gpus := room.take(one.wants)) is not None:
                tasks[one.name] = self._launch(one, gpus)
        return dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))

    async def remove(self, native_id: str, *, volumes: bool = True) -> None:
        """Remove a container; silent about what is gone, or going."""
        try:
            await self._link.call(lambda client: client.remove_container(native_id, v=volumes, force=True))
        except RefusedError as error:
            if status_of(error.__cause__) not in {GONE, BUSY}:
                raise

    async def _run(self, one: Glance) -> Launched:
        return await self._try(one, self._link.call(lambda client: client.start(one.id)))

    async def _launch(self, one: Glance, gpus: tuple[str, ...]) -> Launched:
        return await self._try(one, self._make(one, gpus))

    async def _try(self, one: Glance, run: Awaitable[str | None]) -> Launched:
        """Remove what the engine says no to; of what nobody knows, the next look sees."""
        try:
            return Launched(await run or one.id)
        except ShunterError as error:
            if status_of(error.__cause__) is None:
                return Launched(one.id, error)
            for name in (one.name, one.id):
                await self.remove(name)
            if isinstance(error, RefusedError):
                error = InvalidError.of("image", f"{one.image} cannot run a job here: {error.detail}")
            return Launched(one.id, error, is_gone=True)

    async def _make(self, one: Glance, gpus: tuple[str, ...]) -> str:
        waits = await self._link.call(lambda client: client.inspect_container(one.id))
        archive, config = handing_over(waits, self._settings), running(waits, gpus, self._settings)
        await self._link.call(lambda client: client.put_archive(one.id, "/", archive))
        if waits["Name"] == f"/{one.name}":
            await self._link.call(lambda client: client.rename(one.id, one.name + _ASIDE))
        made = await self._link.call(lambda client: client.create_container_from_config(config, one.name))
        await self._link.call(lambda client: client.start(made["Id"]))
        await self.remove(one.id, volumes=False)
        return str(made["Id"])
