"""The end of a long answer: the gateway stops, or whoever asked for it may ask no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from contracts.errors import ShunterError
from contracts.model import now

from .auth.passport import Facts, Passport
from .closing import Closing
from .identity.register import Register

__all__ = ["Ending"]

_LOOK_EVERY = 0.5
"""Seconds after which a credential is looked at whose end is not known beforehand."""
_LONGEST = 3600.0
_AFTER = 0.01


class Ending(Closing):
    """Set when the gateway stops, and when the caller's credential ends, is revoked, or their rights change."""

    def __init__(self, closing: Closing, register: Register, passport: Passport, facts: Facts | None) -> None:
        super().__init__()
        self._closing = closing
        self._register = register
        self._passport = passport
        self._facts = facts
        self._entry = register.entry(passport.principal.subject)

    @property
    def is_set(self) -> bool:
        """Say whether it is time."""
        return self._is_set or self._closing.is_set

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call *wake* if the moment comes while the block runs."""
        with ExitStack() as held:
            held.enter_context(super().waking(wake))
            held.enter_context(self._closing.waking(wake))
            held.enter_context(self._register.watching(self._look))
            held.enter_context(self._timer())
            self._look()
            yield

    def _look(self) -> None:
        if not self._is_set and self._is_over():
            self.set()

    def _is_over(self) -> bool:
        if self._register.entry(self._passport.principal.subject) != self._entry:
            return True
        if self._passport.expires_at and now() >= self._passport.expires_at:
            return True
        if self._facts is None or self._passport.caveats is None:
            return False
        try:
            self._passport.require(self._facts)
        except ShunterError:
            return True
        return False

    @contextmanager
    def _timer(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle | None = None

        def again() -> None:
            nonlocal handle
            self._look()
            handle = None if self._is_set else loop.call_later(self._pause(), again)

        if self._passport.expires_at or self._passport.caveats:
            handle = loop.call_later(self._pause(), again)
        try:
            yield
        finally:
            if handle:
                handle.cancel()

    def _pause(self) -> float:
        if getattr(self._passport.caveats, "is_timed", False):
            return _LOOK_EVERY
        if self._passport.expires_at is None:
            return _LONGEST
        return min(max((self._passport.expires_at - now()).total_seconds(), 0) + _AFTER, _LONGEST)
