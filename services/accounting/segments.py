"""Usage segments, pure: from moves to openings and closings, from a closed segment to its parts by UTC day."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from contracts.events import WorkloadMoved
from contracts.workloads import Allocation, Usage

__all__ = ["Changes", "Closing", "Key", "Opening", "Part", "Segment", "figure", "fold", "split"]

Key = tuple[str, int]
"""Workload and attempt."""

_MOST = 2**53
"""No figure of one segment is larger: beyond it a float counts no longer in ones, and the column ends at 2**63."""

_MICROSECOND = timedelta(microseconds=1)
_MICRO = 1_000_000
_LONGEST = timedelta(days=3650).total_seconds()


@dataclass(frozen=True, slots=True)
class Opening:
    """An attempt began to hold room."""

    workload_id: str
    attempt: int
    owner: str
    project: str | None
    backend: str
    node: str
    cpus: float
    memory: int
    gpus: int
    gpu_model: str
    opened_at: datetime
    opened_revision: int
    opened_sequence: int


@dataclass(frozen=True, slots=True)
class Closing:
    """An attempt gave its room back."""

    workload_id: str
    attempt: int
    cpu_seconds: float
    gpu_seconds: float
    memory_peak: int | None
    closed_at: datetime
    closed_revision: int
    closed_sequence: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What some moves change, at most one opening and one closing for each attempt."""

    openings: dict[Key, Opening] = field(default_factory=dict)
    closings: dict[Key, Closing] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    """Of arrays, whose tasks are summed up before they are written."""

    def __bool__(self) -> bool:
        return bool(self.openings or self.closings)


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed segment."""

    opening: Opening
    closing: Closing


@dataclass(frozen=True, slots=True)
class Part:
    """The share of a segment that lies in one UTC day; the whole segment is counted in the day it began."""

    workload_id: str
    attempt: int
    day: date
    sequence: int
    """The later one of its two events: a ledger cut at this place of the log holds it."""
    owner: str
    project: str | None
    backend: str
    gpu_model: str
    segments: int
    wall_us: int
    cpu_us: int
    cpu_used_us: int
    gpu_us: int
    gpu_used_us: int
    memory_mib_ms: int
    memory_peak: int


def fold(moves: Iterable[tuple[int, WorkloadMoved]]) -> Changes:
    """Return what *moves* (each with its place in the log) change, in whatever order and however often they come."""
    changes = Changes()
    for sequence, move in moves:
        key = (move.workload_id, move.attempt)
        if move.allocation:
            opening = _opening(sequence, move, move.allocation)
            known = changes.openings.get(key)
            # The first move that says it counts, wherever it comes in the list.
            if known is None or _rank(opening) < _rank(known):
                changes.openings[key] = opening
        if move.usage:
            closing = _closing(sequence, move, move.usage)
            ended = changes.closings.get(key)
            if ended is None or _end_rank(closing) < _end_rank(ended):
                changes.closings[key] = closing
    return changes


def _rank(opening: Opening) -> tuple[int, int]:
    return opening.opened_revision, opening.opened_sequence


def _end_rank(closing: Closing) -> tuple[int, int]:
    return closing.closed_revision, closing.closed_sequence


def _opening(sequence: int, move: WorkloadMoved, room: Allocation) -> Opening:
    return Opening(
        workload_id=move.workload_id,
        attempt=move.attempt,
        owner=move.owner,
        project=move.project,
        backend=room.backend,
        node=room.node,
        cpus=figure(room.cpus),
        memory=int(figure(room.memory)),
        gpus=int(figure(room.gpus)),
        gpu_model=room.gpu_model if room.gpus > 0 else "",
        opened_at=_start(move),
        opened_revision=move.revision,
        opened_sequence=sequence,
    )


def _start(move: WorkloadMoved) -> datetime:
    # A run so short that one move opens and closes its segment began as long before as the runner measured.
    if move.usage is None:
        return move.at
    return move.at - timedelta(seconds=min(figure(move.usage.wall_seconds), _LONGEST))


def _closing(sequence: int, move: WorkloadMoved, usage: Usage) -> Closing:
    return Closing(
        workload_id=move.workload_id,
        attempt=move.attempt,
        cpu_seconds=figure(usage.cpu_seconds),
        gpu_seconds=figure(usage.gpu_seconds),
        memory_peak=None if usage.memory_peak is None else int(figure(usage.memory_peak)),
        closed_at=move.at,
        closed_revision=move.revision,
        closed_sequence=sequence,
    )


def figure(value: float) -> float:
    """Return what can be counted with: a broken meter must not stop the ledger."""
    return min(max(value, 0), _MOST) if math.isfinite(value) else 0


def split(segment: Segment) -> list[Part]:
    """Return the parts of *segment*, one for each UTC day it touches; they add up to the whole exactly."""
    opening, closing = segment.opening, segment.closing
    start = opening.opened_at.astimezone(UTC)
    end = max(start, closing.closed_at.astimezone(UTC))
    whole = _whole(segment, wall_us=(end - start) // _MICROSECOND)
    midnights = list(_midnights(start, end))
    edges = [(edge - start) // _MICROSECOND for edge in midnights] + [whole.wall_us]
    parts, before = [], replace(whole, wall_us=0, cpu_us=0, cpu_used_us=0, gpu_us=0, gpu_used_us=0, memory_mib_ms=0)
    for number, elapsed in enumerate(edges):
        until = _share(whole, elapsed)
        day = start.date() + timedelta(days=number)
        parts.append(replace(_difference(until, before), day=day, segments=1 if number == 0 else 0))
        before = until
    return parts


def _midnights(start: datetime, end: datetime) -> Iterable[datetime]:
    """Give the midnights inside, without the end itself: a segment that ends at midnight is not in the next day."""
    midnight = datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(days=1)
    while midnight < end:
        yield midnight
        midnight += timedelta(days=1)


def _whole(segment: Segment, *, wall_us: int) -> Part:
    opening, closing = segment.opening, segment.closing
    return Part(
        workload_id=opening.workload_id,
        attempt=opening.attempt,
        day=opening.opened_at.date(),
        sequence=max(opening.opened_sequence, closing.closed_sequence),
        owner=opening.owner,
        project=opening.project,
        backend=opening.backend,
        gpu_model=opening.gpu_model,
        segments=1,
        wall_us=wall_us,
        cpu_us=_bounded(opening.cpus * wall_us),
        cpu_used_us=_bounded(closing.cpu_seconds * _MICRO),
        gpu_us=_bounded(opening.gpus * wall_us),
        gpu_used_us=_bounded(closing.gpu_seconds * _MICRO),
        memory_mib_ms=_bounded(opening.memory * wall_us / (2**20 * 1000)),
        memory_peak=closing.memory_peak or 0,
    )


def _bounded(value: float) -> int:
    return min(round(value), _MOST)


def _share(whole: Part, elapsed: int) -> Part:
    """Return what was used until *elapsed*; differences of such shares leave no rounding behind."""
    total = whole.wall_us
    if elapsed == total:
        return whole
    return replace(
        whole,
        wall_us=elapsed,
        cpu_us=whole.cpu_us * elapsed // total,
        cpu_used_us=whole.cpu_used_us * elapsed // total,
        gpu_us=whole.gpu_us * elapsed // total,
        gpu_used_us=whole.gpu_used_us * elapsed // total,
        memory_mib_ms=whole.memory_mib_ms * elapsed // total,
    )


def _difference(until: Part, before: Part) -> Part:
    return replace(
        until,
        wall_us=until.wall_us - before.wall_us,
        cpu_us=until.cpu_us - before.cpu_us,
        cpu_used_us=until.cpu_used_us - before.cpu_used_us,
        gpu_us=until.gpu_us - before.gpu_us,
        gpu_used_us=until.gpu_used_us - before.gpu_used_us,
        memory_mib_ms=until.memory_mib_ms - before.memory_mib_ms,
    )
