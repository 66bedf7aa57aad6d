"""Measures what a run uses, from outside, also where its container runs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import repeat

from contracts.model import now
from contracts.workloads import Usage
from services.scheduler.pilot import sampling
from services.scheduler.pilot.census import Member
from services.scheduler.pilot.gpus import Gpus as PilotGpus
from services.scheduler.pilot.process import Exit
from services.scheduler.pilot.sampling import EARLY

from .gpus import Gpus

__all__ = ["Meter"]


class _Given(PilotGpus):
    """Those of the node's GPUs that a run has."""

    def __init__(self, gpus: Gpus, indices: Sequence[int]) -> None:
        super().__init__()
        self._gpus = gpus
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def busy(self) -> float:
        return self._gpus.busy(self._indices)

    def memory_used(self) -> int:
        return self._gpus.memory_used(self._indices)


class Meter(sampling.Meter[Usage]):
    """Adds up what one run uses."""

    def __init__(
        self, *, started_at: datetime, gpus: Gpus, indices: list[int], age: float | None = None, boxed: bool = False
    ) -> None:
        """*age*: for how many seconds it has been running, where that is known better than by the clock on the wall.

        What runs *boxed* descends from the engine: what descends from its first process only looks after it.
        """
        super().__init__(_Given(gpus, indices), (now() - started_at).total_seconds() if age is None else age, Usage)
        self._boxed = boxed

    def look(self, members: Iterable[Member]) -> int:
        """Take a sample; return the bytes that the processes hold now."""
        return super().look([member for member in members if not member.inside] if self._boxed else members)

    def pauses(self, every: float) -> Iterator[float]:
        """Return the seconds between looks."""
        yield from EARLY
        while self._memory_peak is None:  # nothing is seen of it: a container takes its time to start
            yield min(every, EARLY[-1])
        yield from repeat(every)

    def at_end(self, ended: Exit) -> Usage:
        """Return the usage of a run that has ended."""
        return super().at_end(replace(ended, max_rss=0) if self._boxed else ended)
