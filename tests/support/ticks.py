"""A clock for bounds that have to hold on a machine that stalls now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

__all__ = ["ticking"]

_TICK = 0.01


@asynccontextmanager
async def ticking() -> AsyncIterator[Callable[[], float]]:
    """Give what tells the seconds since the block began in which the loop went round: a stall counts as one tick."""
    count = 0

    async def tick() -> None:
        nonlocal count
        while True:
            await asyncio.sleep(_TICK)
            count += 1

    task = asyncio.create_task(tick())
    try:
        yield lambda: count * _TICK
    finally:
        task.cancel()
