"""How a file is cut into parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MAX_PARTS", "Piece", "part_size_for", "pieces"]

MAX_PARTS = 1500
"""S3 takes 10,000 parts of at most 5 GiB; a plan with all their URLs must fit into one message."""

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file; parts count from 1."""

    number: int
    offset: int
    size: int


def part_size_for(size: int, wanted: int) -> int:
    """Return the size of the parts: what is wanted, or more where that would make too many."""
    needed = -(-size // MAX_PARTS)
    return max(wanted, -(-needed // _MIB) * _MIB)


def pieces(size: int, part_size: int) -> Iterator[Piece]:
    """Cut a file; an empty one has one empty part."""
    for number, offset in enumerate(range(0, max(size, 1), part_size), start=1):
        yield Piece(number, offset, min(part_size, size - offset))
