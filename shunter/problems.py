"""Bad answers and lost connections, said in the error tree of the contracts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from pydantic import TypeAdapter, ValidationError

from contracts.errors import ErrorCode, FieldError, Problem, ShunterError, UnavailableError, error_of

__all__ = ["UnreachableError", "connecting", "error_from"]

_CODES = {
    400: ErrorCode.INVALID,
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    409: ErrorCode.CONFLICT,
    413: ErrorCode.TOO_LARGE,
    422: ErrorCode.INVALID,
    429: ErrorCode.UNAVAILABLE,
    502: ErrorCode.UNAVAILABLE,
    503: ErrorCode.UNAVAILABLE,
    504: ErrorCode.UNAVAILABLE,
}
"""What a status means where no problem document says more."""

_DOCUMENT: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])
_ERRORS: TypeAdapter[list[FieldError]] = TypeAdapter(list[FieldError])


class UnreachableError(UnavailableError):
    """No connection came about, so nothing has happened at the other end."""


@contextmanager
def connecting(url: str) -> Iterator[None]:
    """Say `UnavailableError` where the server at *url* does not answer."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise UnreachableError(f"nothing answers at {url}: {error or type(error).__name__}") from error
    except httpx.RequestError as error:
        raise UnavailableError(f"the connection to {url} broke: {error or type(error).__name__}") from error


def error_from(status: int, headers: Mapping[str, str], content: bytes) -> ShunterError:
    """Return the error that an answer stands for: its problem document, or what the status alone says."""
    document = _read_document(content)
    code = _CODES.get(status, ErrorCode.INVALID if 400 <= status < 500 else ErrorCode.INTERNAL)
    if document.get("code") in set(ErrorCode):
        code = ErrorCode(str(document["code"]))
    detail = str(document.get("detail") or document.get("title") or f"the server answered {status}")
    if code is ErrorCode.INTERNAL and document.get("trace_id"):
        detail = f"{detail} (trace {document['trace_id']})"
    retry_after = _seconds(headers.get("retry-after"))
    return error_of(Problem(code=code, detail=detail, errors=_read_errors(document), retry_after=retry_after))


def _read_document(content: bytes) -> dict[str, object]:
    try:
        return _DOCUMENT.validate_json(content)
    except ValidationError:
        return {}


def _read_errors(document: dict[str, object]) -> list[FieldError]:
    try:
        return _ERRORS.validate_python(document.get("errors") or [], extra="ignore")
    except ValidationError:
        return []


def _seconds(value: str | None) -> float | None:
    """Read `Retry-After`: seconds or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
