"""What room the nodes have, and why a job waits for some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from services.scheduler.backends.base import Capacity

from .answers import ClusterStatus, RayDemand, RayNode
from .gpus import GpuKinds

__all__ = ["Room"]

_NODE = "node:"
"""Resources of this kind only name a node."""
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Room:
    """The nodes that are alive, and what was held of them a moment ago."""

    nodes: tuple[RayNode, ...]
    status: ClusterStatus

    def capacity(self, kinds: GpuKinds, running: int, queued: int) -> Capacity:
        """Return it in our words."""
        total, free = self._total(), self._free()
        models = dict.fromkeys(model for node in self.nodes for model in kinds.of(node))
        return Capacity(
            cpus=total.get("CPU", 0.0),
            cpus_free=free.get("CPU", 0.0),
            memory=int(total.get("memory", 0)),
            memory_free=int(free.get("memory", 0)),
            gpus=int(total.get("GPU", 0)),
            gpus_free=int(free.get("GPU", 0) + _EPSILON),
            gpu_models=tuple(models),
            running=running,
            queued=queued,
            largest_cpus=self._largest("CPU"),
            largest_memory=int(self._largest("memory")),
            largest_gpus=int(self._largest("GPU")),
        )

    def waits_for(self, demand: RayDemand) -> str:
        """Say why a job that asks for this waits."""
        wants = demand.required_resources
        if not any(_fits(wants, node.resources_total) for node in self.nodes):
            return f"no node is large enough: {_compared(wants, self._largest, 'the most')}{self._launches()}"
        free = {node.node_id: self._free_of(node) for node in self.nodes}
        if any(_fits(wants, room) for room in free.values()):
            return f"{self._labels(demand)}{self._launches()}"
        most = {name: max(room.get(name, 0.0) for room in free.values()) for name in wants}
        return f"waits for room: {_compared(wants, most.__getitem__, 'free')}{self._launches()}"

    @staticmethod
    def _labels(demand: RayDemand) -> str:
        labels = ", ".join(f"{name}={value}" for name, value in (demand.label_selector or {}).items())
        return f"waits for a node with {labels}" if labels else "its process and its environment are being made"

    def _launches(self) -> str:
        launches = self.status.launches
        coming = sum((launches.pending or {}).values()) + len(launches.nodes or []) if launches else 0
        failed = len(launches.failed or []) if launches else 0
        told = [f"; the autoscaler starts {coming} nodes"] if coming else []
        return "".join(told + ([f"; {failed} nodes that it started have failed"] if failed else []))

    def _total(self) -> dict[str, float]:
        return _sum(node.resources_total for node in self.nodes)

    def _free(self) -> dict[str, float]:
        return _sum(self._free_of(node) for node in self.nodes)

    def _free_of(self, node: RayNode) -> dict[str, float]:
        held = self.status.usage.by_node.get(node.node_id, {}) if self.status.usage else {}
        return {name: total - held.get(name, (0.0, 0.0))[0] for name, total in node.resources_total.items()}

    def _largest(self, name: str) -> float:
        return max((node.resources_total.get(name, 0.0) for node in self.nodes), default=0.0)


def _fits(wants: Mapping[str, float], room: Mapping[str, float]) -> bool:
    return all(room.get(name, 0.0) + _EPSILON >= amount for name, amount in wants.items())


def _sum(rooms: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for room in rooms:
        for name, amount in room.items():
            if not name.startswith(_NODE):
                total[name] = total.get(name, 0.0) + amount
    return total


def _plain(name: str, amount: float) -> str:
    return f"{amount / 2**30:.1f} GiB" if name == "memory" else f"{amount:g}"


def _compared(wants: Mapping[str, float], read: Callable[[str], float], word: str) -> str:
    # Sorted: Ray says them in an order that is not the same each time.
    told = [f"{name} {_plain(name, want)}, {word} {_plain(name, read(name))}" for name, want in sorted(wants.items())]
    return "; ".join(told)
