"""Many who ask at the same time: what can wait a moment gives way to them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Crowd"]

_MANY = 8
"""So many at once are a crowd."""
_GIVES_WAY = 1.0
"""Seconds for which something gives way at most: a crowd that stays slows it down and does not stop it."""


class Crowd:
    """Those who ask and have no answer yet."""

    def __init__(self) -> None:
        self._present = 0
        self._thin = asyncio.Event()
        self._thin.set()

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Be one of them within the block."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._present += change
        if self._present < _MANY:
            self._thin.set()
        else:
            self._thin.clear()

    async def give_way(self) -> None:
        """Wait until they are no crowd, if that is soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GIVES_WAY):
                await self._thin.wait()
