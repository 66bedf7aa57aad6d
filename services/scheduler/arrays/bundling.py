"""Chooses which tasks of an array are handed out next, and in how large bundles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.arrays import ArraySpec
from contracts.ranges import Ranges

__all__ = ["Room", "array_of", "room_for"]

WINDOW = 16
"""Bundles of one array that a backend may have at once: enough for several runners to share them."""

LARGEST = 500
"""Tasks of one bundle: a report, an event and a transaction hold that many with ease."""


@dataclass(frozen=True, slots=True)
class Room:
    """What may be handed out now."""

    sizes: tuple[int, ...]
    """Of bundles, in tasks at most."""
    shares: tuple[int | None, ...]
    """How many tasks of each may run at once."""

    @property
    def tasks(self) -> int:
        """Return how many tasks may go in all."""
        return sum(self.sizes)


def array_of(row: Any) -> ArraySpec:
    """Return what was asked for; the rest of the spec is not read."""
    return ArraySpec.model_validate(row["spec"]["array"], extra="ignore")


def room_for(array: ArraySpec, tasks: Ranges, taken: list[int | None]) -> Room:
    """Return what may be handed out while bundles with these shares are under way."""
    free = max(0, WINDOW - len(taken))
    size = min(max(1, -(-len(tasks) // WINDOW)), LARGEST)
    if array.max_running is None:
        return Room((size,) * free, (None,) * free)
    left = array.max_running - sum(share or 0 for share in taken)
    shares: list[int | None] = []
    while left > 0 and len(shares) < free:
        share = -(-left // (free - len(shares)))
        shares.append(share)
        left -= share
    return Room(tuple(max(size, share or 1) for share in shares), tuple(shares))
