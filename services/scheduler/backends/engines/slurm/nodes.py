"""The nodes of a cluster, and the room they make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from contracts.errors import UnavailableError
from services.scheduler.backends.base import Capacity

from .facts import minutes_of

__all__ = ["Node", "capacity_of", "limits_of", "parse_nodes", "read_gpus"]

_MIB = 1024 * 1024

_USABLE = frozenset({"allocated", "completing", "idle", "mixed", "planned", "powered_down", "powering_up", "reserved"})

_MARKS = "*~#!%$@^-+"
"""What `sinfo` puts behind the state of a node; `*` is one that does not answer."""

_GPU = re.compile(r"(?:^|,)gpu(?::(?P<type>[^:(,]+))?:(?P<count>\d+)(?![^(,])")


@dataclass(frozen=True, slots=True)
class Node:
    """One node in one partition. Memory in MiB."""

    name: str
    partition: str
    is_default: bool
    minutes: int | None
    """The longest time of a job in this partition."""
    is_usable: bool
    state: str
    cpus: int
    cpus_free: int
    memory: int
    memory_free: int
    gpus: Mapping[str, int]
    gpus_used: int
    reason: str


def parse_nodes(text: str) -> Iterator[Node]:
    """Read `sinfo`."""
    for line in text.splitlines():
        parts = [part.strip() for part in line.split("|", 10)]
        if len(parts) == 11 and parts[4].count("/") == 3:
            yield _node(parts)


def _node(parts: list[str]) -> Node:
    name, partition, available, limit, cpus, memory, allocated, gres, used, state, reason = parts
    idle, _, total = (int(number) for number in cpus.split("/")[1:])
    base = state.rstrip(_MARKS)
    up = base in _USABLE and "*" not in state and available == "up"
    return Node(
        name=name,
        partition=partition.rstrip("*"),
        is_default=partition.endswith("*"),
        minutes=minutes_of(limit),
        is_usable=up,
        state=state if available == "up" else f"{state}, the partition is {available}",
        cpus=total,
        cpus_free=idle if up and base != "reserved" else 0,
        memory=int(memory),
        memory_free=max(0, int(memory) - int(allocated)),
        gpus=read_gpus(gres),
        gpus_used=sum(read_gpus(used).values()),
        reason=reason if reason != "none" else "",
    )


def read_gpus(gres: str) -> dict[str, int]:
    """Read `gpu:a100:2(S:0-1),nvme:1`: how many GPUs of which type; a type without a name is empty."""
    found: dict[str, int] = {}
    for match in _GPU.finditer(gres):
        found[match["type"] or ""] = found.get(match["type"] or "", 0) + int(match["count"])
    return found


def limits_of(nodes: Iterable[Node]) -> dict[str, int | None]:
    """Return the longest time of each partition; the default one is there under the empty name too."""
    found: dict[str, int | None] = {}
    for node in nodes:
        found[node.partition] = node.minutes
        if node.is_default:
            found[""] = node.minutes
    return found


def capacity_of(nodes: Iterable[Node], *, running: int, queued: int) -> Capacity:
    """Sum up the nodes that take work; `UnavailableError` with the reasons if none does."""
    every = {node.name: node for node in sorted(nodes, key=lambda node: node.is_usable)}
    usable = [node for node in every.values() if node.is_usable]
    if not usable:
        raise UnavailableError(f"no node takes work: {_why(every.values()) or 'there is none'}", retry_after=30.0)
    return Capacity(
        cpus=sum(node.cpus for node in usable),
        cpus_free=sum(node.cpus_free for node in usable),
        memory=sum(node.memory for node in usable) * _MIB,
        memory_free=sum(node.memory_free for node in usable) * _MIB,
        gpus=sum(_gpus(node) for node in usable),
        gpus_free=sum(max(0, _gpus(node) - node.gpus_used) for node in usable),
        gpu_models=tuple(sorted({model for node in usable for model in node.gpus if model})),
        running=running,
        queued=queued,
        largest_cpus=max(node.cpus for node in usable),
        largest_memory=max(node.memory for node in usable) * _MIB,
        largest_gpus=max(_gpus(node) for node in usable),
    )


def _gpus(node: Node) -> int:
    return sum(node.gpus.values())


def _why(nodes: Iterable[Node]) -> str:
    said = [f"{node.name} is {node.state}{f' ({node.reason})' if node.reason else ''}" for node in nodes]
    return "; ".join(said[:5]) + (f"; and {len(said) - 5} more" if len(said) > 5 else "")
