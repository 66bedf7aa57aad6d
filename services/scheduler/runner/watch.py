"""Looks at a run while it runs: what it uses, and whether that is too much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import repeat

from contracts.states import Reason

from .census import Census
from .sampling import EARLY, Meter, proportional_size

__all__ = ["watch"]

_SHARED = 0.25
"""Seconds for which runs share one look at the table of processes, at most."""


async def watch(
    *,
    census: Census,
    run: str,
    meter: Meter,
    every: float,
    memory: int | None,
    end: Callable[[Reason, str], None],
) -> None:
    """Sample a run until cancelled, and *end* it if it holds more than *memory* bytes."""
    for pause in _pauses(meter, every):
        await asyncio.sleep(pause)
        census.reap()
        members = census.members(run, max_age=min(pause / 2, _SHARED))
        held = meter.look(members)
        # Pages that processes share count in each of them: look closer before a run is ended for that.
        if memory and held > memory and (held := proportional_size(members)) > memory:
            end(Reason.MEMORY, f"it held {held} bytes of memory, {memory} were asked for")


def _pauses(meter: Meter, every: float) -> Iterator[float]:
    yield from EARLY
    while not meter.has_seen:  # a container takes its time to start
        yield min(every, EARLY[-1])
    yield from repeat(every)
