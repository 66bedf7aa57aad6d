"""The room of the cluster: what its nodes have, less what its pods ask for, within the quota of our namespace."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from time import monotonic

from services.scheduler.backends.base import Capacity

from .cluster import Cluster
from .errors import translated
from .kinds import NODES, PODS, QUOTAS
from .names import Names
from .placing import gpu_models, resources_of_gpus
from .records import Node, Pod, Quota, Taint
from .settings import KubernetesSettings, Toleration

__all__ = ["Room", "counted"]

_PLACED = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"


@dataclass(frozen=True, slots=True)
class _Heard:
    at: float
    capacity: Capacity
    labels: list[str]


class Room:
    """Counts the room, and believes it for a while."""

    def __init__(self, cluster: Cluster, names: Names) -> None:
        self._cluster = cluster
        self._names = names
        self._heard: _Heard | None = None

    async def capacity(self, running: int, queued: int) -> Capacity:
        """Return the room. *running* and *queued* are ours."""
        return replace((await self._known()).capacity, running=running, queued=queued)

    async def gpu_labels(self) -> list[str]:
        """Return the models of GPUs that nodes say they have."""
        return (await self._known()).labels

    async def _known(self) -> _Heard:
        settings = self._names.settings
        if self._heard is None or monotonic() - self._heard.at > settings.room_every:
            with translated():
                nodes, _ = await self._cluster.list(NODES, Node)
                pods, _ = await self._cluster.list(PODS, Pod, fields=_PLACED)
                quotas = await self._quotas()
                release = await self._cluster.release()
            labels = [node.metadata.labels.get(settings.gpu_label, "") for node in nodes]
            room = replace(counted(settings, nodes, pods, quotas), lacks=release.lacks)
            self._heard = _Heard(monotonic(), room, [word for word in labels if word])
        return self._heard

    async def _quotas(self) -> list[Quota]:
        namespace = self._names.watched
        return (await self._cluster.list(QUOTAS, Quota, namespace=namespace))[0] if namespace else []


def counted(
    settings: KubernetesSettings, nodes: Iterable[Node], pods: Iterable[Pod], quotas: Iterable[Quota]
) -> Capacity:
    """Sum up the nodes that would take a pod of ours."""
    usable = [node for node in nodes if _is_usable(settings, node)]
    gpus = resources_of_gpus(settings)
    used = _used(pods)
    has = {node.metadata.name: _figures(node.status.allocatable, gpus) for node in usable}
    free = {
        name: tuple(max(0.0, have - taken) for have, taken in zip(figures, _figures(used[name], gpus), strict=True))
        for name, figures in has.items()
    }
    all_cpus, all_memory, all_gpus = _sums(has.values())
    free_cpus, free_memory, free_gpus = _sums(free.values())
    cpus, memory, cards = (
        min(pair) for pair in zip((all_cpus, all_memory, all_gpus), _limits(quotas, gpus), strict=True)
    )
    left_cpus, left_memory, left_cards = (
        min(pair) for pair in zip((free_cpus, free_memory, free_gpus), _limits(quotas, gpus, left=True), strict=True)
    )
    models = (node.metadata.labels.get(settings.gpu_label, "") for node in usable if has[node.metadata.name][2])
    return Capacity(
        cpus=cpus,
        cpus_free=left_cpus,
        memory=int(memory),
        memory_free=int(left_memory),
        gpus=int(cards),
        gpus_free=int(left_cards),
        gpu_models=tuple(gpu_models(settings, models)) if cards else (),
        largest_cpus=min(cpus, max((figures[0] for figures in has.values()), default=0.0)),
        largest_memory=int(min(memory, max((figures[1] for figures in has.values()), default=0.0))),
        largest_gpus=int(min(cards, max((figures[2] for figures in has.values()), default=0.0))),
    )


_Figures = tuple[float, ...]
"""CPUs, memory, GPUs."""


def _figures(amounts: Mapping[str, float], gpus: frozenset[str]) -> _Figures:
    return amounts.get("cpu", 0.0), amounts.get("memory", 0.0), sum(amounts.get(name, 0.0) for name in gpus)


def _sums(figures: Iterable[_Figures]) -> _Figures:
    columns = list(zip(*figures, strict=True))
    return tuple(sum(column) for column in columns) if columns else (0.0, 0.0, 0.0)


def _used(pods: Iterable[Pod]) -> defaultdict[str, Counter[str]]:
    used: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for pod in pods:
        for container in pod.spec.containers:
            for name, amount in container.resources.requests.items():
                used[pod.spec.node_name][name] += amount  # type: ignore[assignment]
    return used


def _limits(quotas: Iterable[Quota], gpus: frozenset[str], *, left: bool = False) -> _Figures:
    """Return what quotas allow in all, or what is left of it."""
    most = [float("inf")] * 3
    keys = [("requests.cpu", "cpu"), ("requests.memory", "memory"), tuple(f"requests.{name}" for name in gpus)]
    for quota in quotas:
        for place, names in enumerate(keys):
            for name in names:
                if name in quota.status.hard:
                    used = quota.status.used.get(name, 0.0) if left else 0.0
                    most[place] = min(most[place], max(0.0, quota.status.hard[name] - used))
    return tuple(most)


def _is_usable(settings: KubernetesSettings, node: Node) -> bool:
    tolerated = [*settings.tolerations, *(item for kind in settings.gpus.values() for item in kind.tolerations)]
    fits = settings.node_selector.items() <= node.metadata.labels.items()
    return node.is_ready and fits and all(_is_tolerated(taint, tolerated) for taint in node.spec.taints)


def _is_tolerated(taint: Taint, tolerated: Iterable[Toleration]) -> bool:
    if taint.effect not in {"NoSchedule", "NoExecute"}:
        return True
    return any(
        item.key in {None, taint.key}
        and item.effect in {None, taint.effect}
        and (item.operator == "Exists" or (item.value or "") == taint.value)
        for item in tolerated
    )
