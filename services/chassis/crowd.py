"""Many who ask at the same time: what can wait a moment gives way to them."""

from __future__ import annotations

import asyncio
import time
from math import expm1

__all__ = ["Crowd"]

_MANY = 8.0
"""So many at once, on average, are a crowd."""
_SPAN = 0.2
"""Seconds of that average: those whose answers come together come back together."""
_LOOKS, _PAUSE = 20, 0.05
"""How often is looked again, and the seconds between: then whatever gave way goes on, and a crowd that stays has slowed
it down and not stopped it."""


class Crowd:
    """Those who ask and have no answer yet."""

    def __init__(self) -> None:
        self._present = 0
        self._average = 0.0
        self._at = time.monotonic()

    def come(self) -> None:
        """Be one of them from now on."""
        self._count(1)

    def go(self) -> None:
        """Have an answer."""
        self._count(-1)

    def _count(self, change: int) -> None:
        self._look()
        self._present += change

    def _look(self) -> float:
        moment = time.monotonic()
        self._average += (self._present - self._average) * -expm1((self._at - moment) / _SPAN)
        self._at = moment
        return self._average

    async def give_way(self) -> None:
        """Wait until they are no crowd, if that is soon."""
        for _ in range(_LOOKS):
            if self._look() < _MANY:
                return
            await asyncio.sleep(_PAUSE)
