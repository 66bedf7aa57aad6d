"""Guessing who one is: slow at first, then refused for a while, and only for whoever guesses."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from contracts.errors import TooManyRequestsError, UnauthenticatedError

from .addresses import group_of
from .settings import GuessSettings

__all__ = ["Guesses"]

_MOST_KNOWN = 100_000
_FIRST_DELAY = 0.25

_Key = tuple[str, ...]


class Guesses:
    """Failures by address, and by address and user. Nobody is locked out by what others do from elsewhere."""

    def __init__(
        self,
        settings: GuessSettings,
        *,
        ticks: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._ticks = ticks
        self._sleep = sleep
        self._known: OrderedDict[_Key, tuple[int, float]] = OrderedDict()

    @asynccontextmanager
    async def of_password(self, address: str, user: str) -> AsyncIterator[None]:
        """Check a password in the block: not at all after too many wrong ones. A right one resets the user's count."""
        pair, group = _pair(address, user), (group_of(address),)
        self._require(pair, self._settings.of_user)
        self._require(group, self._settings.of_address)
        # Counted before they are looked at: a thousand at once are no more than a thousand one by one.
        count = self._add(pair, 1)
        self._add(group, 1)
        try:
            yield
        except UnauthenticatedError:
            await self._sleep(self._delay(count))
            raise
        except BaseException:
            self._add(pair, -1)
            self._add(group, -1)
            raise
        self._known.pop(pair, None)
        self._add(group, -1)

    @asynccontextmanager
    async def of_token(self, address: str) -> AsyncIterator[None]:
        """Check a token in the block. It is looked at whatever happened before: nobody guesses one."""
        group = (group_of(address),)
        try:
            yield
        except UnauthenticatedError:
            self._require(group, self._settings.of_address)
            await self._sleep(self._delay(self._add(group, 1)))
            raise

    def _require(self, key: _Key, most: int) -> None:
        count, forgotten_at = self._known.get(key, (0, 0.0))
        left = forgotten_at - self._ticks()
        if left > 0 and count >= most:
            raise TooManyRequestsError("too many wrong credentials came from there", retry_after=left)

    def _add(self, key: _Key, number: int) -> int:
        now = self._ticks()
        count, forgotten_at = self._known.get(key, (0, 0.0))
        count = (count if forgotten_at > now else 0) + number
        if count <= 0:
            self._known.pop(key, None)
            return 0
        self._known[key] = count, now + self._settings.window
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return count

    def _delay(self, count: int) -> float:
        beyond = count - self._settings.free
        return min(self._settings.slowest, _FIRST_DELAY * 2.0 ** min(beyond - 1, 10)) if beyond > 0 else 0.0


def _pair(address: str, user: str) -> _Key:
    return group_of(address), user
