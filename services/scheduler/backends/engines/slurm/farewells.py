"""Jobs that are to end: their pilots are told and get time for their last words, then Slurm ends them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from time import monotonic

from services.scheduler.backends.engines.base import NativeState, Seen

__all__ = ["Farewells"]

_AGAIN = 5.0
"""Seconds after which a pilot is told again: a job that has just begun may not have got to it yet."""


class Farewells:
    """Who was told, and when. It is forgotten in a restart; then they are told once more."""

    def __init__(self, last_words: float, clock: Callable[[], float] = monotonic) -> None:
        self._last_words = last_words
        self._clock = clock
        self._since: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def names(self) -> list[str]:
        """Return who is to end."""
        return list(self._since)

    def keep(self, names: Collection[str]) -> None:
        """Forget all others."""
        self._since = {name: since for name, since in self._since.items() if name in names}
        self._told = {name: at for name, at in self._told.items() if name in names}

    def sort(self, those: Iterable[Seen]) -> tuple[list[str], list[str]]:
        """Return the ids of jobs whose pilots are to be told now, and of those that Slurm is to end now."""
        moment = self._clock()
        to_tell: list[str] = []
        to_end: list[str] = []
        for one in those:
            if one.state is NativeState.ENDED:
                continue
            since = self._since.setdefault(one.name, moment)
            if one.state is NativeState.WAITING or moment - since > self._last_words:
                to_end.append(one.native_id)
            elif moment - self._told.get(one.name, -_AGAIN) >= _AGAIN:
                self._told[one.name] = moment
                to_tell.append(one.native_id)
        return to_tell, to_end
