"""Kubernetes: a native job is a Job of one pod, or one index of a Job."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

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

from .batches import Batches
from .cluster import Cluster
from .ending import Endings
from .names import Names
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
        self._batches = Batches(self._cluster, self._starter, self._view)
        self._endings = Endings(self._cluster, self._names, self._view)

    async def open(self) -> None:
        """Begin to follow the cluster."""
        self._view.open()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._view.close()
        await self._cluster.close()

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start native jobs, side by side; those that are alike are one indexed Job."""
        return await self._batches.start(orders)

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:  # noqa: ARG002 (all are shown)
        """Say how all stand, from what was heard."""
        seen = await self._view.look()
        await self._endings.pursue()
        await self._starter.settle(seen.keys())
        return seen

    async def stop(self, natives: Collection[Native]) -> None:
        """Delete Jobs, or some pods of those that are shared; each is there until its pods are gone."""
        await self._endings.stop(natives)

    async def remove(self, natives: Collection[Native]) -> None:
        """Delete Jobs at once, and what was made for them."""
        await self._endings.remove(natives)

    async def capacity(self) -> Capacity:
        """Return the room of the nodes that would take a pod of ours."""
        return await self._room.capacity(self._view.count(NativeState.RUNNING), self._view.count(NativeState.WAITING))
