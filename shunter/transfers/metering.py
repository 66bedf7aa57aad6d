"""Counting bytes that travel in several threads, and stopping them."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Meter", "Progress", "StoppedError"]

Progress = Callable[[int, int], None]
"""Told (bytes done, bytes in all) as a transfer goes on, from one thread at a time."""


class StoppedError(Exception):
    """The transfer was stopped from outside; what has travelled is kept for the next time."""


class Meter:
    """The bytes of one transfer. Whoever counts learns by `StoppedError` that it should end."""

    def __init__(self, total: int, progress: Progress | None = None, stop: threading.Event | None = None) -> None:
        self.total = total
        self._progress = progress
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()
        self._done = 0

    def add(self, count: int) -> None:
        """Count bytes; a negative count takes back what must travel again."""
        if self._stop.is_set() and count >= 0:
            raise StoppedError("the transfer was stopped")
        with self._lock:
            self._done += count
            if self._progress:
                self._progress(self._done, self.total)

    def stop(self) -> None:
        """End the transfer at the next byte."""
        self._stop.set()
