"""The room of a cluster, from its nodes and what their allocations were given. Nothing is asked here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.scheduler.backends.base import Capacity

from .settings import NomadSettings
from .words import AllocStub, NodeStub

__all__ = ["mhz_of", "room_of"]

_MIB = 2**20
_LIVE = frozenset({"pending", "running", "unknown"})
_UNKNOWN_MHZ = 1000
"""Of a core on nodes that do not say how many they have (Nomad older than 1.1)."""


@dataclass
class _Used:
    mhz: int = 0
    cores: int = 0
    memory: int = 0
    devices: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Node:
    cpus: float
    cpus_free: float
    memory: int
    memory_free: int
    gpus: int
    gpus_free: int


def mhz_of(nodes: Iterable[NodeStub]) -> int:
    """Return what a core of the slowest node has."""
    found = [
        node.node_resources.cpu.cpu_shares // cores
        for node in nodes
        if node.node_resources and (cores := node.node_resources.cpu.total_cpu_cores)
    ]
    return max(1, min(found, default=_UNKNOWN_MHZ))


def room_of(
    nodes: Iterable[NodeStub],
    allocs: Iterable[AllocStub],
    settings: NomadSettings,
    mhz: int,
    models: Mapping[str, str],
) -> Capacity:
    """Add up the nodes that take work; *models* are the GPU models that nodes say in their meta, by their ids."""
    used = _used(allocs, settings)
    chosen = [node for node in nodes if node.is_open and _is_ours(node, settings)]
    rooms = [_room(node, used[node.id], settings, mhz) for node in chosen]
    return Capacity(
        cpus=sum(room.cpus for room in rooms),
        cpus_free=sum(room.cpus_free for room in rooms),
        memory=sum(room.memory for room in rooms),
        memory_free=sum(room.memory_free for room in rooms),
        gpus=sum(room.gpus for room in rooms),
        gpus_free=sum(room.gpus_free for room in rooms),
        gpu_models=tuple(sorted({name for node in chosen for name in _models(node, settings, models)})),
        largest_cpus=max((room.cpus for room in rooms), default=0.0),
        largest_memory=max((room.memory for room in rooms), default=0),
        largest_gpus=max((room.gpus for room in rooms), default=0),
    )


def _is_ours(node: NodeStub, settings: NomadSettings) -> bool:
    return not settings.datacenters or node.datacenter in settings.datacenters


def _used(allocs: Iterable[AllocStub], settings: NomadSettings) -> defaultdict[str, _Used]:
    found: defaultdict[str, _Used] = defaultdict(_Used)
    for alloc in allocs:
        if alloc.client_status not in _LIVE or alloc.allocated_resources is None:
            continue
        used = found[alloc.node_id]
        for task in alloc.allocated_resources.tasks.values():
            used.mhz += task.cpu.cpu_shares
            used.cores += len(task.cpu.reserved_cores)
            used.memory += task.memory.memory_mb
            for device in task.devices:
                if f"{device.vendor}/{device.type}" == settings.gpu_device:
                    used.devices.update(device.device_ids)
    return found


def _room(node: NodeStub, used: _Used, settings: NomadSettings, mhz: int) -> _Node:
    has, kept = node.node_resources, node.reserved_resources
    if has is None:
        return _Node(0.0, 0.0, 0, 0, 0, 0)
    shares = has.cpu.cpu_shares - (kept.cpu.cpu_shares if kept else 0)
    memory = has.memory.memory_mb - (kept.memory.memory_mb if kept else 0)
    cpus, free = shares / mhz, (shares - used.mhz) / mhz
    if settings.cores:
        cpus, free = float(len(has.cpu.reservable_cpu_cores)), float(len(has.cpu.reservable_cpu_cores) - used.cores)
    gpus = {
        instance.id
        for device in has.devices
        if f"{device.vendor}/{device.type}" == settings.gpu_device
        for instance in device.instances
        if instance.healthy
    }
    return _Node(
        cpus=round(cpus, 2),
        cpus_free=round(max(0.0, free), 2),
        memory=memory * _MIB,
        memory_free=max(0, memory - used.memory) * _MIB,
        gpus=len(gpus),
        gpus_free=len(gpus - used.devices),
    )


def _models(node: NodeStub, settings: NomadSettings, models: Mapping[str, str]) -> list[str]:
    devices = node.node_resources.devices if node.node_resources else []
    ours = [device.name for device in devices if f"{device.vendor}/{device.type}" == settings.gpu_device]
    if ours and settings.gpu_meta:
        return [models[node.id]] if node.id in models else []
    return ours
