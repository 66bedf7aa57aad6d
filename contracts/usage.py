"""Figures of what was used, as accounting sums them up."""

from __future__ import annotations

from enum import StrEnum

from .model import Model, Timestamp

__all__ = ["GroupBy", "ReplayReport", "UsageFigures", "UsageRow", "UsageSummary"]


class GroupBy(StrEnum):
    """By what figures can be summed up."""

    OWNER = "owner"
    PROJECT = "project"
    BACKEND = "backend"
    GPU_MODEL = "gpu_model"
    DAY = "day"
    """UTC day in which the room was held, `2026-11-21`."""


class UsageFigures(Model):
    """Sums over closed segments. Allocated figures are room times the time it was held."""

    segments: int = 0
    """Attempts (or their parts in one day) that held room."""
    wall_hours: float = 0.0
    cpu_hours: float = 0.0
    """Allocated: cores times hours."""
    cpu_hours_used: float = 0.0
    gpu_hours: float = 0.0
    gpu_hours_used: float = 0.0
    memory_gib_hours: float = 0.0
    memory_peak: int = 0
    """The largest peak of any attempt, bytes."""


class UsageRow(Model):
    """One group; the keys that were not asked for are none."""

    owner: str | None = None
    project: str | None = None
    backend: str | None = None
    gpu_model: str | None = None
    day: str | None = None
    figures: UsageFigures


class UsageSummary(Model):
    """Usage, grouped, with the total of all groups."""

    rows: list[UsageRow]
    total: UsageFigures
    open_segments: int = 0
    """Attempts that hold room now and are not in the figures yet."""
    sequence: int = 0
    """The last event of the log that is in the figures."""


class ReplayReport(Model):
    """What came out when the event log was read again into an empty database."""

    equal: bool
    events: int
    """Events read."""
    last_sequence: int
    seconds: float
    live: UsageSummary
    replayed: UsageSummary
    differences: list[str] = []
    started_at: Timestamp
