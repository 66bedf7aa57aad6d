"""Kubernetes: a native job is a Job of one pod."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from contracts.errors import ShunterError
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

from .cluster import Cluster
from .errors import AnswerError, said, translated
from .kinds import JOBS, SECRETS
from .names import Address, Names
from .room import Room
from .settings import KubernetesOptions, KubernetesSettings
from .starting import Starter
from .view import View

__all__ = ["KubernetesEngine"]


class KubernetesEngine(Engine):
    """A Kubernetes cluster, followed by watches."""

    kind: ClassVar[str] = "kubernetes"
    Settings = KubernetesSettings
    Options = KubernetesOptions
    capabilities = frozenset({Capability.GPUS, Capability.IMAGES})

    def __init__(self, settings: KubernetesSettings, means: EngineMeans) -> None:
        super().__init__(settings, means)
        self._names = Names(settings, means)
        self._cluster = Cluster(settings)
        self._room = Room(self._cluster, self._names)
        self._view = View(self._cluster, self._names)
        self._starter = Starter(self._cluster, self._names, self._room.gpu_labels)

    async def open(self) -> None:
        """Begin to follow the cluster."""
        self._view.open()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._view.close()
        await self._cluster.close()

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start native jobs, side by side."""
        return list(await asyncio.gather(*(self._start(order) for order in orders)))

    async def _start(self, order: Order) -> Started:
        try:
            job = await self._starter.start(order)
        except AnswerError as error:
            return Started(error=said(error))
        except ShunterError as error:
            return Started(error=error)
        self._view.begun(job)
        return Started(native_id=str(Address(job.metadata.namespace, job.metadata.uid)))

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:  # noqa: ARG002 (all are shown)
        """Say how all stand, from what was heard."""
        seen = await self._view.look()
        await self._starter.settle(seen.keys())
        return seen

    async def stop(self, natives: Collection[Native]) -> None:
        """Delete Jobs; each is there until its pods are gone."""
        await asyncio.gather(*(self._delete(native, "Foreground") for native in natives))

    async def remove(self, natives: Collection[Native]) -> None:
        """Delete Jobs at once, and what was made for them."""
        await asyncio.gather(*(self._delete(native, "Background") for native in natives))

    async def _delete(self, native: Native, how: str) -> None:
        address = Address.of(native) or await self._view.address(native.name)
        namespace = address.namespace if address else self._names.watched
        if namespace is None:
            return
        exactly = {"preconditions": {"uid": address.uid}} if address else {}
        if address:
            self._view.dismissed(native.name, address.uid)
        with translated():
            await self._cluster.delete(JOBS, namespace, native.name, propagationPolicy=how, **exactly)
            if address is None or how == "Background":
                await self._cluster.delete(SECRETS, namespace, native.name)

    async def capacity(self) -> Capacity:
        """Return the room of the nodes that would take a pod of ours."""
        return await self._room.capacity(self._view.count(NativeState.RUNNING), self._view.count(NativeState.WAITING))
