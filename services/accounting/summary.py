"""Summaries, pure: sums in whole numbers, the figures that users see, and what is different between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from contracts.usage import UsageFigures, UsageRow, UsageSummary

__all__ = ["Group", "Sums", "differences", "summarize", "without_days"]

_US_PER_HOUR = 3_600_000_000
_MIB_MS_PER_GIB_HOUR = 1024 * 3_600_000
_MOST_DIFFERENCES = 100


@dataclass(frozen=True, slots=True)
class Group:
    """What some parts have in common; keys that were not asked for are none."""

    owner: str | None = None
    project: str | None = None
    backend: str | None = None
    gpu_model: str | None = None
    day: str | None = None

    def __str__(self) -> str:
        named = ((name, getattr(self, name)) for name in ("owner", "project", "backend", "gpu_model", "day"))
        return ", ".join(f"{name} {value}" for name, value in named if value) or "everything"

    @property
    def place(self) -> tuple[tuple[bool, str], ...]:
        """Return where it stands among others: none before any word."""
        values = (self.owner, self.project, self.backend, self.gpu_model, self.day)
        return tuple((value is not None, value or "") for value in values)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over parts: microseconds, and memory in MiB times milliseconds."""

    segments: int = 0
    wall_us: int = 0
    cpu_us: int = 0
    cpu_used_us: int = 0
    gpu_us: int = 0
    gpu_used_us: int = 0
    memory_mib_ms: int = 0
    memory_peak: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            segments=self.segments + other.segments,
            wall_us=self.wall_us + other.wall_us,
            cpu_us=self.cpu_us + other.cpu_us,
            cpu_used_us=self.cpu_used_us + other.cpu_used_us,
            gpu_us=self.gpu_us + other.gpu_us,
            gpu_used_us=self.gpu_used_us + other.gpu_used_us,
            memory_mib_ms=self.memory_mib_ms + other.memory_mib_ms,
            memory_peak=max(self.memory_peak, other.memory_peak),
        )

    def to_figures(self) -> UsageFigures:
        """Say it in hours."""
        return UsageFigures(
            segments=self.segments,
            wall_hours=self.wall_us / _US_PER_HOUR,
            cpu_hours=self.cpu_us / _US_PER_HOUR,
            cpu_hours_used=self.cpu_used_us / _US_PER_HOUR,
            gpu_hours=self.gpu_us / _US_PER_HOUR,
            gpu_hours_used=self.gpu_used_us / _US_PER_HOUR,
            memory_gib_hours=self.memory_mib_ms / _MIB_MS_PER_GIB_HOUR,
            memory_peak=self.memory_peak,
        )


def summarize(sums: Mapping[Group, Sums], *, open_segments: int, sequence: int) -> UsageSummary:
    """Return the summary of *sums*, its rows in order."""
    ordered = sorted(sums.items(), key=lambda item: item[0].place)
    return UsageSummary(
        rows=[_row(group, figure) for group, figure in ordered],
        total=sum(sums.values(), Sums()).to_figures(),
        open_segments=open_segments,
        sequence=sequence,
    )


def _row(group: Group, sums: Sums) -> UsageRow:
    return UsageRow(
        owner=group.owner,
        project=group.project,
        backend=group.backend,
        gpu_model=group.gpu_model,
        day=group.day,
        figures=sums.to_figures(),
    )


def without_days(sums: Mapping[Group, Sums]) -> dict[Group, Sums]:
    """Return the same sums over all days."""
    found: dict[Group, Sums] = {}
    for group, figure in sums.items():
        wider = replace(group, day=None)
        found[wider] = found.get(wider, Sums()) + figure
    return found


def differences(live: Mapping[Group, Sums], replayed: Mapping[Group, Sums]) -> list[str]:
    """Say in words where the ledger and the log disagree; nothing if they agree in every figure."""
    found: list[str] = []
    for group in sorted(live.keys() | replayed.keys(), key=lambda item: item.place):
        if group not in replayed:
            found.append(f"{group}: in the ledger, but not in the event log")
        elif group not in live:
            found.append(f"{group}: in the event log, but not in the ledger")
        else:
            found += _differing(group, live[group], replayed[group])
    rest = len(found) - _MOST_DIFFERENCES
    return [*found[:_MOST_DIFFERENCES], f"… and {rest} more"] if rest > 0 else found


def _differing(group: Group, live: Sums, replayed: Sums) -> list[str]:
    # The sums are compared, not the hours made of them: whole numbers are equal or they are not.
    if live == replayed:
        return []
    ours, theirs = live.to_figures().model_dump(), replayed.to_figures().model_dump()
    return [
        f"{group}: {name} is {ours[name]} in the ledger, {theirs[name]} by the event log"
        for name in ours
        if ours[name] != theirs[name]
    ]
