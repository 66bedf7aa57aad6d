"""Sets of task numbers, written as people write them: `3,7-10`."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

__all__ = ["MAX_RANGES", "Ranges"]

MAX_RANGES = 600_000
"""Characters of the longest text; a hundred thousand numbers, every other one, take less."""

_RANGE = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")


@dataclass(frozen=True, slots=True)
class Ranges:
    """Numbers without doubles, in order, as runs of neighbours."""

    runs: tuple[tuple[int, int], ...]
    """First and last of each run; no two touch."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3,7-10`; raises `ValueError` that says what is wrong."""
        runs: list[tuple[int, int]] = []
        for part in text.split(","):
            found = _RANGE.fullmatch(part)
            if found is None:
                raise ValueError(f"{part.strip()[:40]!r} is no task number and no range such as 7-10")
            first = int(found[1])
            last = first if found[2] is None else int(found[2])
            if last < first:
                raise ValueError(f"the range {part.strip()} runs backwards")
            runs.append((first, last))
        return cls._of_runs(runs)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Self:
        """Return the numbers as a set of ranges."""
        return cls._of_runs((number, number) for number in numbers)

    @classmethod
    def first(cls, count: int) -> Self:
        """Return the first *count* numbers from 0."""
        return cls(((0, count - 1),) if count else ())

    @classmethod
    def _of_runs(cls, runs: Iterable[tuple[int, int]]) -> Self:
        joined: list[tuple[int, int]] = []
        for first, last in sorted(runs):
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(joined[-1][1], last))
            else:
                joined.append((first, last))
        return cls(tuple(joined))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.runs)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.runs:
            yield from range(first, last + 1)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and (place := self.place_of(number)) is not None and place >= 0

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.runs)

    @property
    def highest(self) -> int:
        """Return the largest number, -1 if there is none."""
        return self.runs[-1][1] if self.runs else -1

    def place_of(self, number: int) -> int | None:
        """Return how many of the numbers are smaller, or None if *number* is not among them."""
        run = bisect_right(self.runs, (number, 2**63)) - 1
        if run < 0 or number > self.runs[run][1]:
            return None
        before = sum(last - first + 1 for first, last in self.runs[:run])
        return before + number - self.runs[run][0]

    def slice(self, start: int, stop: int) -> list[int]:
        """Return the numbers at the places from *start* up to *stop*."""
        ends = list(accumulate(last - first + 1 for first, last in self.runs))
        found: list[int] = []
        run = bisect_right(ends, start)
        while run < len(self.runs) and start < stop:
            begin = ends[run - 1] if run else 0
            upto = min(stop, ends[run])
            found += range(self.runs[run][0] + start - begin, self.runs[run][0] + upto - begin)
            start, run = upto, run + 1
        return found

    def __and__(self, other: Ranges) -> Ranges:
        return Ranges._of_runs(_common(self.runs, other.runs))

    def __or__(self, other: Ranges) -> Ranges:
        return Ranges._of_runs([*self.runs, *other.runs])

    def after(self, place: int) -> Ranges:
        """Return the numbers from a *place* on."""
        runs: list[tuple[int, int]] = []
        for first, last in self.runs:
            size = last - first + 1
            if place < size:
                runs.append((first + place, last))
            place = max(0, place - size)
        return Ranges(tuple(runs))


def _common(one: Iterable[tuple[int, int]], other: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, int]]:
    place = 0
    for first, last in one:
        while place < len(other) and other[place][1] < first:
            place += 1
        look = place
        while look < len(other) and other[look][0] <= last:
            yield max(first, other[look][0]), min(last, other[look][1])
            look += 1
