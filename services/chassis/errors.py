"""Errors of the database and of NATS, said in our own error tree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nats.errors
import nats.js.errors
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from contracts.errors import FieldError, InvalidError, UnavailableError

__all__ = ["database_translated", "field_errors", "invalid_from", "translated"]

_NAMED = 100
"""Fields that are named in one refusal."""

_SHOWN = 64
"""Characters of an unknown name that are repeated."""

_TOLD = 500

_NO_STREAM = 10059
"""What JetStream says of a stream that is not there."""

_TOO_MUCH = 429
_WITHOUT_A_PEER = frozenset({10005, 10007, 10009, 10118, 10119})
"""What a cluster says while one of its servers is away: no peers for a new stream, nobody who leads, or offline."""

_AWAY = (
    nats.errors.ConnectionClosedError,
    nats.errors.NoRespondersError,
    nats.errors.NoServersError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.StaleConnectionError,
    nats.errors.TimeoutError,
    nats.js.errors.ServiceUnavailableError,
    nats.js.errors.NoStreamResponseError,
    ConnectionError,
    TimeoutError,
)

_STATES = ("08", "53", "57P")
"""How PostgreSQL speaks of itself: a lost connection, no room (for a connection, on the disk), a stop."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Say `UnavailableError` where *what* does not answer."""
    try:
        with database_translated(what):
            yield
    except _AWAY as error:
        raise UnavailableError(f"{what} does not answer: {type(error).__name__}", retry_after=2.0) from error
    except nats.js.errors.APIError as error:
        if error.err_code == _NO_STREAM:
            # It has lost its store; the streams are made again and filled by whoever comes back first.
            raise UnavailableError(f"{what} has no streams yet", retry_after=2.0) from error
        if error.code != _TOO_MUCH and error.err_code not in _WITHOUT_A_PEER:
            raise
        raise UnavailableError(f"{what} cannot do that now: {error.description}", retry_after=2.0) from error


@contextmanager
def database_translated(what: str = "the database") -> Iterator[None]:
    """Say `UnavailableError` where the database is away, has no room or no connection left."""
    try:
        yield
    except DBAPIError as error:
        if not _is_away(error):
            raise
        raise UnavailableError(f"{what} does not answer: {type(error.orig).__name__}", retry_after=1.0) from error
    except (PoolTimeoutError, ConnectionError) as error:
        raise UnavailableError(f"{what} does not answer: {type(error).__name__}", retry_after=1.0) from error


def _is_away(error: DBAPIError) -> bool:
    """Tell a database that is away, busy or full from a statement that is wrong."""
    cause: Any = error.orig
    if (code := getattr(cause, "sqlite_errorcode", None)) is not None:
        return isinstance(error, OperationalError) and code != sqlite3.SQLITE_ERROR
    state = getattr(cause, "sqlstate", None) or getattr(getattr(cause, "__cause__", None), "sqlstate", None)
    if state:
        return error.connection_invalidated or str(state).startswith(_STATES)
    return error.connection_invalidated or isinstance(error, (InterfaceError, OperationalError))


def field_errors(error: ValidationError) -> list[FieldError]:
    """Name each field that pydantic found wrong, without repeating what was sent."""
    return [
        FieldError(field=".".join(str(part)[:_SHOWN] for part in found["loc"]) or "body", message=found["msg"][:_TOLD])
        for found in error.errors(include_url=False, include_input=False, include_context=False)[:_NAMED]
    ]


def invalid_from(error: ValidationError) -> InvalidError:
    """Say pydantic's error as ours."""
    errors = field_errors(error)
    return InvalidError("; ".join(f"{item.field}: {item.message}" for item in errors[:5]), errors=errors)
