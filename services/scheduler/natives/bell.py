"""What a backend and its keeper tell each other within one process. Who hears nothing looks into the table."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.errors import ShunterError

__all__ = ["Bell"]

_Key = tuple[str, int]


class Bell:
    """Rings for the keeper, and carries its answers to those who wait for what becomes of an attempt."""

    def __init__(self) -> None:
        self.work = asyncio.Event()
        """There is something to start."""
        self.wishes = asyncio.Event()
        """There is something to stop."""
        self.telling = asyncio.Event()
        """There is something that a pilot has to end of several."""
        self._waiting: dict[_Key, asyncio.Future[ShunterError | None]] = {}

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
