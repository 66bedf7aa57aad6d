"""When a call is sent again, and when it is given up."""

from __future__ import annotations

from typing import Any, TypedDict

from tenacity import RetryCallState, retry_if_exception, wait_exponential, wait_random

from contracts.errors import RefusedError, ShunterError, UnavailableError

from .problems import UnreachableError

__all__ = ["Patience", "Policy", "is_worth_another_try", "policy"]

_LONGEST = 30.0
"""Seconds that we sleep at most between two tries, whatever the server wishes."""

_GROWING = wait_exponential(multiplier=0.1, max=5.0) + wait_random(0, 0.1)


class Policy(TypedDict):
    """The arguments that tenacity's sync and async classes share."""

    retry: Any
    wait: Any
    stop: Any
    reraise: bool


def policy(*, repeatable: bool, patience: float) -> Policy:
    """Return when to try again for up to *patience* seconds; what is not *repeatable* only if nothing happened."""
    return Policy(
        retry=retry_if_exception(lambda error: is_worth_another_try(error, repeatable=repeatable)),
        wait=_pause,
        # What was slept counts too, so that a test whose sleep is a no-op comes to an end.
        stop=lambda state: max(state.seconds_since_start or 0.0, state.idle_for) + state.upcoming_sleep > patience,
        reraise=True,
    )


def is_worth_another_try(error: BaseException, *, repeatable: bool = True) -> bool:
    """Say whether the same call may succeed later and does no harm if it is sent twice."""
    if isinstance(error, UnreachableError):
        return True
    if isinstance(error, RefusedError):  # refused, so nothing was done; and the server says when to come again
        return error.retry_after is not None
    return repeatable and isinstance(error, UnavailableError)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ShunterError) and error.retry_after is not None:
        return min(error.retry_after, _LONGEST)
    return float(_GROWING(state))


class Patience:
    """Counts failures in a row of something that goes on for long, such as following a log."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause = 0.0
        self._slept = 0.0

    def renew(self) -> None:
        """Forget the failures: something came."""
        self._pause = self._slept = 0.0

    def next_pause(self, error: Exception | None = None) -> float:
        """Return how long to sleep before the next try; raises *error* when patience has run out."""
        if self._slept >= self._seconds:
            raise error or UnavailableError("the server breaks the stream off again and again")
        wished = getattr(error, "retry_after", None)
        self._pause = min(5.0, self._pause * 2 or 0.1)
        pause = min(wished, _LONGEST) if wished else self._pause
        self._slept += pause
        return float(pause)
