"""Several ways to do the same are measured by turns, so that whatever else goes on meets them all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

__all__ = ["medians_by_turns"]


def medians_by_turns(ways: Sequence[Callable[[], float]], count: int, settle: Callable[[], object]) -> list[float]:
    """Return the median of what each way returns in *count* turns; after each of them comes *settle*."""
    found: list[list[float]] = [[] for _ in ways]
    for _ in range(count):
        for way, mine in zip(ways, found, strict=True):
            mine.append(way())
            settle()
    return [statistics.median(mine) for mine in found]
