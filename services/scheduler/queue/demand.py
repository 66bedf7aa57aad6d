"""How much room a workload wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["NOTHING", "Demand", "demand_of"]

_EPSILON = 1e-6
"""Fractions of cores are floats; sums of them are not exact."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Room: of a workload, of all that somebody has, or of a backend."""

    tasks: int = 1
    """What counts against the limits: 1 for a job; an array counts what it may run at once."""
    cpus: float = 1.0
    memory: int = 0
    """Bytes."""
    gpus: int = 0

    def plus(self, other: Demand) -> Demand:
        """Return both together."""
        return Demand(
            self.tasks + other.tasks, self.cpus + other.cpus, self.memory + other.memory, self.gpus + other.gpus
        )

    def minus(self, other: Demand) -> Demand:
        """Return what is left."""
        return Demand(
            self.tasks - other.tasks, self.cpus - other.cpus, self.memory - other.memory, self.gpus - other.gpus
        )

    def fits_into(self, room: Demand) -> bool:
        """Say whether there is so much room; how many tasks does not matter."""
        return self.cpus <= room.cpus + _EPSILON and self.memory <= room.memory and self.gpus <= room.gpus

    def share_of(self, room: Demand) -> float:
        """Return the largest part of any one thing that this takes of *room*."""
        parts = ((self.cpus, room.cpus), (self.memory, room.memory), (self.gpus, room.gpus))
        return max((wanted / whole for wanted, whole in parts if whole > 0), default=float(self.tasks))


NOTHING = Demand(0, 0.0, 0, 0)
"""No room at all."""


def demand_of(resources: Mapping[str, Any]) -> Demand:
    """Return what the `resources` of a stored spec come to."""
    processes = resources["processes"]
    return Demand(
        tasks=1,
        cpus=resources["cpus"] * processes,
        memory=(resources["memory"] or 0) * processes,
        gpus=resources["gpus"]["count"] * processes,
    )
