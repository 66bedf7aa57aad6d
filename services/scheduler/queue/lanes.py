"""The order of those that wait, as pure figures: within a lane by number, between lanes by `rank`."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .demand import Demand

__all__ = ["WINDOW", "Entry", "Lane", "LaneKey", "Lanes", "effective_priority", "rank"]

WINDOW = 64
"""Entries of a lane that are kept in memory; the rest lie in the table."""


@dataclass(frozen=True, slots=True)
class LaneKey:
    """What all entries of a lane have in common; so what holds one of them up holds up all that are behind it."""

    owner: str
    project: str
    priority: int
    backends: tuple[str, ...]
    """Where they may go."""
    ordered: bool = False
    """Whether the first of these is liked best; else it is the one with most room."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A workload that could go if there were room."""

    seq: int
    id: str = field(compare=False)
    since: float = field(compare=False)
    """When it could have gone for the first time, in seconds of the epoch."""
    demand: Demand = field(compare=False)
    start: dict[str, Any] = field(compare=False, repr=False)


@dataclass(slots=True)
class Lane:
    """The first entries of a lane, and whether the table has more."""

    key: LaneKey
    window: list[Entry] = field(default_factory=list)
    more: bool = False
    served: float = 0.0
    """When it was served last, or was held up by a limit of its owner's; its waiting counts from there."""
    filling: int = 0
    """How many read the table for it at this moment."""

    @property
    def is_empty(self) -> bool:
        """Say whether nobody waits here."""
        return not self.window and not self.more and not self.filling

    def knows(self, workload_id: str) -> bool:
        """Say whether an entry is here, or will be found in the table."""
        return self.more or any(entry.id == workload_id for entry in self.window)

    @contextmanager
    def being_filled(self) -> Iterator[None]:
        """Have the table read inside; who is not seen there, but comes meanwhile, is kept."""
        self.filling += 1
        self.more = False
        try:
            yield
        finally:
            self.filling -= 1

    def take(self, first: Sequence[Entry], *, more: bool) -> None:
        """Take the first entries of the table."""
        known, came = {entry.id for entry in first}, self.window
        self.window, self.more = list(first), self.more or more
        for entry in came:
            if entry.id not in known:
                self.add(entry)

    def add(self, entry: Entry) -> None:
        """Take a new entry in, at its place."""
        if self.more and (not self.window or entry > self.window[-1]):
            return
        insort(self.window, entry)
        if len(self.window) > WINDOW:
            self.window.pop()
            self.more = True

    def remove(self, workload_id: str) -> None:
        """Forget an entry."""
        self.window = [entry for entry in self.window if entry.id != workload_id]


class Lanes:
    """All lanes in which anybody waits."""

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, Lane] = {}
        self._backends: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)

    def all(self) -> list[Lane]:
        """Return all lanes."""
        return list(self._lanes.values())

    @property
    def backends(self) -> list[str]:
        """Return where anybody could go."""
        return [name for name, lanes in self._backends.items() if lanes]

    def clear(self) -> None:
        """Forget everything."""
        self._lanes.clear()
        self._backends.clear()

    def knows(self, key: LaneKey, workload_id: str) -> bool:
        """Say whether an entry has its place, or will be found in the table."""
        lane = self._lanes.get(key)
        return lane is not None and lane.knows(workload_id)

    def open(self, key: LaneKey, *, more: bool = False) -> Lane:
        """Return a lane, a new one if need be."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
            self._backends.update(key.backends)
        lane.more = lane.more or more
        return lane

    def close_if_empty(self, lane: Lane) -> None:
        """Forget a lane in which nobody waits."""
        if lane.is_empty and lane.key in self._lanes:
            del self._lanes[lane.key]
            self._backends.subtract(lane.key.backends)

    def remove(self, key: LaneKey, workload_id: str) -> None:
        """Forget an entry."""
        if lane := self._lanes.get(key):
            lane.remove(workload_id)
            self.close_if_empty(lane)


def effective_priority(priority: int, waited: float, aging: float) -> int:
    """Return the priority of a lane that has not been served for *waited* seconds: one more for each *aging*."""
    return priority + int(max(0.0, waited) // aging)


def rank(lane: Lane, *, share: float, now: float, aging: float) -> tuple[float, ...]:
    """Return the place of a lane with entries among the others, the smallest going first.

    By priority, where nobody is passed over for ever; then who has least; then who was served least recently; then
    who came first.
    """
    first = lane.window[0]
    waited = now - max(first.since, lane.served)
    return (-effective_priority(lane.key.priority, waited, aging), share, lane.served, first.seq)
