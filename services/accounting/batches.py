"""Usage of arrays, pure: each batch of facts about tasks becomes parts of its own, summed up by UTC day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from contracts.events import WorkloadTasksMoved
from contracts.tasks import TaskFact
from contracts.workloads import Allocation

from .segments import Closing, Opening, Part, Segment, figure, split

__all__ = ["parts_of_batch"]

_MODELS = 16
"""Kinds of GPUs in one batch that are told apart."""


def parts_of_batch(sequence: int, event: WorkloadTasksMoved) -> list[Part]:
    """Return what the tasks of a batch held and gave back; the key of a part is the negative of the batch's number."""
    room = event.allocation
    if room is None:
        return []
    sums: dict[tuple[str, datetime], Part] = {}
    models: dict[str, int] = {}
    for fact in event.tasks:
        if fact.usage is None:
            continue
        model = (fact.gpu_model or room.gpu_model) if room.gpus else ""
        number = models.setdefault(model, min(len(models), _MODELS - 1))
        for part in _parts(sequence, event, fact, room, -(event.batch * _MODELS + number), model):
            key = (str(part.attempt), datetime.combine(part.day, datetime.min.time()))
            sums[key] = _added(sums[key], part) if key in sums else part
    return list(sums.values())


def _parts(
    sequence: int, event: WorkloadTasksMoved, fact: TaskFact, room: Allocation, key: int, model: str
) -> Iterable[Part]:
    end = (fact.finished_at or event.at).astimezone(UTC)
    start = min((fact.started_at or end).astimezone(UTC), end)
    usage = fact.usage
    assert usage is not None
    opening = Opening(
        workload_id=event.workload_id,
        attempt=key,
        owner=event.owner,
        project=event.project,
        backend=room.backend,
        node=room.node,
        cpus=room.cpus,
        memory=room.memory,
        gpus=room.gpus,
        gpu_model=model,
        opened_at=start,
        opened_revision=event.revision,
        opened_sequence=sequence,
    )
    closing = Closing(
        workload_id=event.workload_id,
        attempt=key,
        cpu_seconds=figure(usage.cpu_seconds),
        gpu_seconds=figure(usage.gpu_seconds),
        memory_peak=None if usage.memory_peak is None else int(figure(usage.memory_peak)),
        closed_at=end,
        closed_revision=event.revision,
        closed_sequence=sequence,
    )
    return split(Segment(opening, closing))


def _added(one: Part, other: Part) -> Part:
    return replace(
        one,
        segments=one.segments + other.segments,
        wall_us=one.wall_us + other.wall_us,
        cpu_us=one.cpu_us + other.cpu_us,
        cpu_used_us=one.cpu_used_us + other.cpu_used_us,
        gpu_us=one.gpu_us + other.gpu_us,
        gpu_used_us=one.gpu_used_us + other.gpu_used_us,
        memory_mib_ms=one.memory_mib_ms + other.memory_mib_ms,
        memory_peak=max(one.memory_peak, other.memory_peak),
    )
