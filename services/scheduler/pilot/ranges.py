"""Sets of task numbers, written as people write them: `3,7-10`."""

from __future__ import annotations

__all__ = ["numbers_of"]


def numbers_of(text: str) -> list[int]:
    """Return the numbers, in their order; raises `ValueError` for what is no such text."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        found.update(range(int(first), int(last if dash else first) + 1))
    return sorted(found)
