"""Many who ask at the same time: what can wait a moment gives way to them."""

from __future__ import annotations

import asyncio
import time
from math import exp

__all__ = ["Crowd"]

_MANY = 5.0
"""So many at once, on average, are a crowd."""
_WEIGHT = 1 / 16
"""Of whoever comes, in the average of those whom they find: while we are busy with other things they wait unseen, and
then come together."""
_SPAN = 0.2
"""Seconds in which the average fades when nobody comes: those whose answers come together come back together."""
_BURST = 5.0
"""Seconds: a crowd that is younger is a burst, which goes first as a whole."""
_LOOKS, _PAUSE = 20, 0.05
"""How often is looked again, and the seconds between: then whatever gave way goes on, and a crowd that stays has slowed
it down and not stopped it."""


class Crowd:
    """Those who ask and have no answer yet."""

    def __init__(self) -> None:
        self._present = 0
        self._average = 0.0
        self._at = self._since = time.monotonic()

    def come(self) -> None:
        """Be one of them from now on."""
        self._fade()
        self._present += 1
        self._average += (self._present - self._average) * _WEIGHT

    def go(self) -> None:
        """Have an answer."""
        self._present -= 1

    def _fade(self) -> None:
        moment = time.monotonic()
        if self._average < _MANY:
            self._since = moment
        self._average *= exp((self._at - moment) / _SPAN)
        self._at = moment

    async def give_way(self) -> None:
        """Wait until they are no crowd any more, if that is soon."""
        for _ in range(_LOOKS):
            self._fade()
            while self._average >= _MANY and self._at - self._since < _BURST:
                await asyncio.sleep(_PAUSE)
                self._fade()
            if self._average < _MANY:
                return
            await asyncio.sleep(_PAUSE)
