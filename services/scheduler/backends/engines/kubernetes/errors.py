"""What the cluster's no means: whether the job is wrong, the day is, or a right is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from contracts.errors import FieldError, RefusedError, ShunterError, UnavailableError

from .records import Status

__all__ = ["AnswerError", "said", "translated", "unavailable"]

_AGAIN = 30.0
"""Seconds after which it makes sense to ask again where somebody has to do something first."""


class AnswerError(Exception):
    """The API server answered no."""

    def __init__(self, method: str, path: str, status: Status, retry_after: float | None = None) -> None:
        super().__init__(f"{method} {path}: {status.code} {status.reason} {status.message}")
        self.method = method
        self.path = path
        self.status = status
        self.retry_after = retry_after


def unavailable(error: Exception) -> UnavailableError:
    """Return what it is when no answer came, or none that is one."""
    reason = str(error) or type(error).__name__
    return UnavailableError(f"the cluster does not answer: {reason}"[:500], retry_after=5.0)


@contextmanager
def translated() -> Iterator[None]:
    """Let an answer no out as an error of ours."""
    try:
        yield
    except AnswerError as error:
        raise said(error) from error


def said(error: AnswerError) -> ShunterError:
    """Return what a no means that was not to be expected."""
    status = error.status
    told = status.message or status.reason or "no reason given"
    if status.code == 401:
        return UnavailableError(f"the cluster does not know us (401): {told}", retry_after=_AGAIN)
    if status.code == 403:
        return UnavailableError(f"we lack a right on the cluster (403): {told}", retry_after=_AGAIN)
    if status.code in {400, 404, 413, 422}:
        fields = [FieldError(field=cause.field, message=cause.message) for cause in status.details.causes]
        return RefusedError(f"the cluster refuses it ({status.code}): {told}", errors=fields)
    # 409, 410, 429 and whatever a server says that has troubles of its own.
    after = error.retry_after or status.details.retry_after_seconds
    return UnavailableError(f"the cluster cannot now ({status.code}): {told}", retry_after=after or 5.0)
