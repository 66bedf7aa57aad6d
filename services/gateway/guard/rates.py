"""How many requests somebody may make: one number for each of them, however many they make."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from .settings import Rate

__all__ = ["RateLimiter", "Standing"]

_MOST_KNOWN = 100_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands with a bound."""

    name: str
    rate: Rate
    left: int
    """Requests that may be made at once."""
    reset: float
    """Seconds after which all may be."""
    retry_after: float = 0.0
    """Seconds after which one more may be made; 0: this one was let through."""

    @property
    def policy(self) -> bytes:
        """Return the item of the header `RateLimit-Policy`."""
        return b'"%s";q=%d;w=%d' % (self.name.encode(), self.rate.requests, math.ceil(self.rate.seconds))

    @property
    def state(self) -> bytes:
        """Return the item of the header `RateLimit`."""
        return b'"%s";r=%d;t=%d' % (self.name.encode(), self.left, math.ceil(self.reset))


class RateLimiter:
    """A moving window by the generic cell rate algorithm: for each key the moment when its bucket will be full again.

    Those who have not asked for the longest are forgotten first: at worst an attacker with very many addresses has
    some of them begin anew.
    """

    def __init__(self, name: str, rate: Rate, *, ticks: Callable[[], float] = time.monotonic) -> None:
        """*ticks*: seconds of a clock that nobody sets."""
        self._name = name
        self._rate = rate
        self._each = rate.seconds / rate.requests
        self._ticks = ticks
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def hit(self, key: str) -> Standing:
        """Count a request, unless it is one too many."""
        now = self._ticks()
        owed = max(self._full_at.get(key, now) - now, 0.0)
        after = owed + self._each
        if after > self._rate.seconds + 1e-9:
            return Standing(self._name, self._rate, 0, owed, retry_after=after - self._rate.seconds)
        self._full_at[key] = now + after
        self._full_at.move_to_end(key)
        if len(self._full_at) > _MOST_KNOWN:
            self._full_at.popitem(last=False)
        return Standing(self._name, self._rate, int((self._rate.seconds - after) / self._each + 1e-9), after)
