"""Chooses which tasks of an array are handed out next, and in how large bundles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.arrays import ArraySpec
from contracts.ranges import Ranges
from services.scheduler.backends.base import Portions

__all__ = ["Room", "array_of", "room_for"]


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


def room_for(array: ArraySpec, tasks: Ranges, taken: list[int | None], portions: Portions, elsewhere: int = 0) -> Room:
    """Return what may be handed out while bundles with these shares are under way, some of them on other backends."""
    free = max(0, portions.window - len(taken) + elsewhere)
    size = min(max(1, -(-len(tasks) // portions.window)), portions.largest)
    if array.max_running is None:
        return Room((size,) * free, (None,) * free)
    left = array.max_running - sum(share or 0 for share in taken)
    shares: list[int | None] = []
    while left > 0 and len(shares) < free:
        share = -(-left // (free - len(shares)))
        shares.append(share)
        left -= share
    return Room(tuple(min(max(size, share or 1), portions.largest) for share in shares), tuple(shares))
