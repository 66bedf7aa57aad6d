"""The place of a workload among those that wait, estimated from figures alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .lanes import LaneKey

__all__ = ["place_of"]


def place_of(mine: LaneKey, before: int, lanes: Iterable[tuple[LaneKey, int]]) -> int:
    """Return the place of one that has *before* others in its own lane, 1 being the next, as things stand.

    Whoever has a higher priority goes first; those of equal priority take turns by owner.
    """
    higher, equal = 0, Counter[str]()
    for key, count in lanes:
        if key == mine or not set(key.backends) & set(mine.backends):
            continue
        if key.priority > mine.priority:
            higher += count
        elif key.priority == mine.priority:
            equal[key.owner] += count
    return 1 + before + higher + sum(min(count, before) for count in equal.values())
