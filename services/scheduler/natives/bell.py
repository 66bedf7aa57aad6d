"""What a backend and its keeper tell each other within one process. Who hears nothing looks into the table."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.errors import ShunterError

__all__ = ["Bell"]

_Key = tuple[str, int]

_WORK = b"work"
_WISH = b"wish"


class Bell:
    """Rings for the keeper, and carries its answers to those who wait for what becomes of an attempt."""

    def __init__(self) -> None:
        self.work = asyncio.Event()
        """There is something to start."""
        self.wishes = asyncio.Event()
        """There is something to stop."""
        self.telling = asyncio.Event()
        """There is something that a pilot has to end of several."""
        self._mine = secrets.token_hex(8).encode()
        self._waiting: dict[_Key, asyncio.Future[ShunterError | None]] = {}

    @property
    def there_is_work(self) -> bytes:
        """Return how other processes are told of work."""
        return _WORK + b" " + self._mine

    @property
    def there_is_a_wish(self) -> bytes:
        """Return how other processes are told of something to stop."""
        return _WISH + b" " + self._mine

    def hear(self, words: bytes) -> None:
        """Hear what a process said, which may have been this one: then it is no news."""
        what, _, who = words.partition(b" ")
        if who != self._mine:
            self.work.set()
            if what != _WORK:
                self.wishes.set()

    @contextmanager
    def expecting(self, workload_id: str, attempt: int) -> Iterator[asyncio.Future[ShunterError | None]]:
        """Wait for an answer about an attempt; to be begun before the keeper hears of it."""
        key = workload_id, attempt
        future = self._waiting.setdefault(key, asyncio.get_running_loop().create_future())
        try:
            yield future
        finally:
            if self._waiting.get(key) is future:
                del self._waiting[key]

    def answer(self, workload_id: str, attempt: int, error: ShunterError | None = None) -> bool:
        """Say what became of an attempt; False if nobody waits for it."""
        future = self._waiting.get((workload_id, attempt))
        if future is None or future.done():
            return False
        future.set_result(error)
        return True
