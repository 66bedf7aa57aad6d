"""One error tree. An error says who must act: the caller, nobody (just wait), or us."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from .model import Model

__all__ = [
    "ConflictError",
    "ErrorCode",
    "FieldError",
    "ForbiddenError",
    "InternalError",
    "InvalidError",
    "MismatchError",
    "NotFoundError",
    "OverQuotaError",
    "Problem",
    "RefusedError",
    "ShunterError",
    "TooLargeError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
    "error_of",
]


class ErrorCode(StrEnum):
    """What went wrong, in words that a program can compare."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    MISMATCH = "idempotency_mismatch"
    OVER_QUOTA = "over_quota"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many_requests"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class FieldError(Model):
    """One field that is wrong, and what would be right."""

    field: str
    """The place in the request, e.g. `resources.cpus` or `inputs.0.path`."""
    message: str


class Problem(Model):
    """An error as it crosses a border between services."""

    code: ErrorCode
    detail: str
    errors: list[FieldError] = []
    retry_after: float | None = None
    """Seconds after which another try makes sense, if it makes sense at all."""


class ShunterError(Exception):
    """Anything that Shunter says went wrong."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL

    def __init__(
        self, detail: str, *, errors: list[FieldError] | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.retry_after = retry_after

    def to_problem(self) -> Problem:
        """Say it to another service."""
        return Problem(code=self.code, detail=self.detail, errors=self.errors, retry_after=self.retry_after)


class RefusedError(ShunterError):
    """The caller must change something; the same request will be refused again."""

    code = ErrorCode.INVALID


class InvalidError(RefusedError):
    """The request is malformed or asks for what cannot be."""

    @classmethod
    def of(cls, field: str, message: str) -> InvalidError:
        """Refuse one *field*."""
        return cls(f"{field}: {message}", errors=[FieldError(field=field, message=message)])


class UnauthenticatedError(RefusedError):
    """Nobody known asks."""

    code = ErrorCode.UNAUTHENTICATED


class ForbiddenError(RefusedError):
    """The caller may see it but not do this."""

    code = ErrorCode.FORBIDDEN


class NotFoundError(RefusedError):
    """It does not exist, or not for this caller."""

    code = ErrorCode.NOT_FOUND


class ConflictError(RefusedError):
    """It comes at the wrong time."""

    code = ErrorCode.CONFLICT


class MismatchError(RefusedError):
    """The idempotency key was used for another request."""

    code = ErrorCode.MISMATCH


class OverQuotaError(RefusedError):
    """It would exceed what the caller was given."""

    code = ErrorCode.OVER_QUOTA


class TooLargeError(RefusedError):
    """The body or file is larger than is taken."""

    code = ErrorCode.TOO_LARGE


class TooManyRequestsError(RefusedError):
    """They come too often; `retry_after` says when one more may."""

    code = ErrorCode.TOO_MANY


class UnavailableError(ShunterError):
    """Nobody is wrong: wait, then the same request may succeed."""

    code = ErrorCode.UNAVAILABLE


class InternalError(ShunterError):
    """We are wrong."""

    code = ErrorCode.INTERNAL


_BY_CODE: dict[ErrorCode, type[ShunterError]] = {
    kind.code: kind
    for kind in (
        InvalidError,
        UnauthenticatedError,
        ForbiddenError,
        NotFoundError,
        ConflictError,
        MismatchError,
        OverQuotaError,
        TooLargeError,
        TooManyRequestsError,
        UnavailableError,
        InternalError,
    )
}


def error_of(problem: Problem) -> ShunterError:
    """Return the error that another service told us about."""
    kind = _BY_CODE.get(problem.code, InternalError)
    return kind(problem.detail, errors=problem.errors, retry_after=problem.retry_after)
