"""Native jobs as containers of one Docker or Podman engine."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, ClassVar

from docker.types import ContainerConfig
from pydantic import BaseModel

from contracts.errors import ConflictError, InvalidError, RefusedError, ShunterError, UnavailableError
from services.scheduler.backends.base import Capability, Capacity
from services.scheduler.backends.engines.base import Engine, EngineMeans, Native, NativeState, Order, Seen, Started

from .container import Container
from .endings import Endings
from .labels import are_ours, asked, of_backend, share_of
from .link import BUSY, GONE, Link, status_of
from .pulls import Pulls
from .room import Machine, Room
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
        self._starting: set[str] = set()
        self._room = asyncio.Lock()
        self._machine: Machine | None = None
        self._swept = -_SWEEP

    async def close(self) -> None:
        """Let go of the connection."""
        await self._pulls.close()
        await self._link.close()

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start containers side by side, as far as there is room for them."""
        try:
            async with self._room:
                room = await self._count()
                return list(await asyncio.gather(*(self._start(order, room) for order in orders)))
        except ShunterError as error:
            return [Started(error=error) for _ in orders]

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:
        """List all containers of ours; those that ended since are asked how."""
        node = (await self._ask_machine()).name
        listed = await self._list(of_backend(self.means))
        found = [one for one in listed if not one.holds]
        await self._clear(listed)
        await self._stops.press_on(found)
        await self._go_on(found, {native.name for native in known})
        ended = await self._endings.of([one for one in found if one.state is NativeState.ENDED], node)
        return {one.name: ended.get(one.id) or one.seen(node) for one in found}

    async def stop(self, natives: Collection[Native]) -> None:
        """Send SIGTERM; a later look sends SIGKILL to those that still run. What was not begun is removed."""
        await self._stops.stop([native_id for native in natives if (native_id := await self._find(native))])

    async def remove(self, natives: Collection[Native]) -> None:
        """Remove containers, and their volumes with them."""
        ids = [native_id for native in natives if (native_id := await self._find(native))]
        await asyncio.gather(*(self._remove(native_id) for native_id in ids))

    async def capacity(self) -> Capacity:
        """Return the machine less what containers of any Shunter were promised."""
        self._machine = None
        room = await self._count()
        ours = await self._list(of_backend(self.means), everything=False)
        return room.capacity(len(ours))

    async def _start(self, order: Order, room: Room) -> Started:
        if order.name in self._starting:
            return Started(error=UnavailableError("it is being started"))
        self._starting.add(order.name)
        try:
            return Started(native_id=await self._find_or_make(order, room))
        except ShunterError as error:
            return Started(error=error)
        finally:
            self._starting.discard(order.name)

    async def _find_or_make(self, order: Order, room: Room) -> str:
        if (found := await self._inspect(order.name)) is not None:
            if not are_ours(found["Config"]["Labels"] or {}, self.means, order.name):
                raise ConflictError(f"the engine has another container that is called {order.name}")
            if found["State"]["Status"] == "created":
                await self._run(found["Id"], found["Config"]["Image"])
            return str(found["Id"])
        share = room.take(order)
        if isinstance(share, ShunterError):
            raise share
        try:
            return await self._make(Container(order, self._settings, self.means, share))
        except BaseException:
            room.give_back(share)
            raise

    async def _make(self, container: Container) -> str:
        container.check()
        await self._pulls.have(container.image)
        holder = await self._hold(container)
        try:
            made = await self._create(container.config(holder), container.order.name)
        except BaseException:
            await self._remove(holder)
            raise
        await self._remove(holder, volumes=False)
        await self._run(made, container.image)
        return made

    async def _hold(self, container: Container) -> str:
        holder = await self._create(container.holder(), None)
        try:
            archive = container.archive()
            await self._link.call(lambda client: client.put_archive(holder, "/", archive))
        except BaseException:
            await self._remove(holder)
            raise
        return holder

    async def _create(self, config: ContainerConfig, name: str | None) -> str:
        made = await self._link.call(lambda client: client.create_container_from_config(config, name))
        return str(made["Id"])

    async def _run(self, native_id: str, image: str) -> None:
        """Start what was made. What the engine cannot start is removed; of what nobody knows, the next look sees."""
        try:
            await self._link.call(lambda client: client.start(native_id))
        except ShunterError as error:
            if status_of(error.__cause__) is not None:
                await self._remove(native_id)
            if isinstance(error, RefusedError):
                raise InvalidError.of("image", f"{image} cannot run a job: {error.detail}") from error
            raise

    async def _go_on(self, found: list[Glance], known: Collection[str]) -> None:
        """Start what was made by one of us that died before it came to it."""
        for one in [one for one in found if one.state is NativeState.WAITING]:
            if one.name in known and one.name not in self._starting:
                with suppress(ShunterError):  # it is gone then, or the next look tries again
                    await self._run(one.id, one.image)

    async def _list(self, labels: Mapping[str, str], *, everything: bool = True) -> list[Glance]:
        listed = await self._link.call(lambda client: client.containers(all=everything, filters=asked(labels)))
        return [glance_of(one) for one in listed]

    async def _inspect(self, name: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = await self._link.call(lambda client: client.inspect_container(name))
        except RefusedError as error:
            if status_of(error.__cause__) == GONE:
                return None
            raise
        return found

    async def _find(self, native: Native) -> str | None:
        """Return the id of a container; of one whose id was never written down, if its labels say that it is ours."""
        if native.native_id:
            return native.native_id
        found = await self._inspect(native.name)
        ours = found is not None and are_ours(found["Config"]["Labels"] or {}, self.means, native.name)
        return str(found["Id"]) if found is not None and ours else None

    async def _remove(self, native_id: str, *, volumes: bool = True) -> None:
        try:
            await self._link.call(lambda client: client.remove_container(native_id, v=volumes, force=True))
        except RefusedError as error:
            if status_of(error.__cause__) not in {GONE, BUSY}:  # being removed already
                raise

    async def _count(self) -> Room:
        machine = await self._ask_machine()
        living = [one for one in await self._list({}) if one.state is not NativeState.ENDED]
        shares = [share for one in living if (share := share_of(one.labels)) is not None]
        return Room(self._settings, machine, shares)

    async def _ask_machine(self) -> Machine:
        if self._machine is None:
            info = await self._link.call(lambda client: client.info())
            self._machine = Machine(str(info["Name"]), int(info["NCPU"]), int(info["MemTotal"]))
        return self._machine

    async def _clear(self, listed: Collection[Glance]) -> None:
        """Remove what one of us that died left half made, and volumes that outlived their containers."""
        for one in listed:
            if one.holds and one.holds not in self._starting:
                # One that is made already may have its volumes.
                await self._remove(one.id, volumes=False)
        if monotonic() - self._swept > _SWEEP:
            self._swept = monotonic()
            await self._link.call(lambda client: client.prune_volumes(asked(of_backend(self.means))))
