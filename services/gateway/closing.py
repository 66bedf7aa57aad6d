"""The moment when the gateway stops: whoever waits for news must be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Closing"]


class Closing:
    """Set once; long answers end then."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: set[Callable[[], None]] = set()

    @property
    def is_set(self) -> bool:
        """Say whether it is time."""
        return self._is_set

    def set(self) -> None:
        """Tell everybody who waits."""
        self._is_set = True
        for wake in list(self._waiting):
            wake()

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call *wake* if the moment comes while the block runs."""
        self._waiting.add(wake)
        try:
            yield
        finally:
            self._waiting.discard(wake)
