"""Tickets: signed, opaque, short-lived words that a service gives out and later believes."""

from __future__ import annotations

from typing import Generic, TypeVar

from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import SecretStr, ValidationError

from contracts.errors import ForbiddenError, InvalidError
from contracts.model import Model, now

__all__ = ["MIN_KEY", "Tickets"]

MIN_KEY = 32
"""Characters that a signing key must have."""

_T = TypeVar("_T", bound=Model)


class Tickets(Generic[_T]):
    """Makes and reads tickets of one kind."""

    def __init__(self, key: SecretStr, kind: type[_T]) -> None:
        if len(key.get_secret_value()) < MIN_KEY:
            raise InvalidError.of("ticket_key", f"must have at least {MIN_KEY} characters (SHUNTER_TICKET_KEY)")
        self._kind = kind
        self._serializer = URLSafeTimedSerializer(key.get_secret_value(), salt=f"shunter.{kind.__name__}")

    def issue(self, content: _T) -> str:
        """Sign *content*."""
        return str(self._serializer.dumps(content.model_dump(mode="json")))

    def read(self, ticket: str, max_age: float) -> _T:
        """Return what was signed at most *max_age* seconds ago."""
        try:
            content, signed_at = self._serializer.loads(ticket, return_timestamp=True)
            found = self._kind.model_validate(content)
        except (BadSignature, ValidationError) as error:
            raise ForbiddenError("the ticket is not valid") from error
        # One that was signed by a clock ahead of ours is ours all the same: it only lives a little longer.
        if (now() - signed_at).total_seconds() > max_age:
            raise ForbiddenError("the ticket has expired")
        return found
