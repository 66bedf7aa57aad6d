"""Headers that say how a request wants to be handled: `Prefer` (RFC 7240) and `Idempotency-Key`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from contracts.errors import InvalidError

__all__ = ["Preference", "read_idempotency_key", "read_preference"]

_LONGEST = 60.0
"""Seconds that an answer is held back at most."""

_WAIT = re.compile(r"wait\s*=\s*\"?([0-9]{1,9})\"?", re.IGNORECASE)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Preference:
    """How long to wait for the outcome; None leaves it to the gateway."""

    wait: float | None = None
    applied: str | None = None
    """What `Preference-Applied` says."""

    def to_headers(self) -> dict[str, str]:
        """Say which preference was honoured."""
        return {"Preference-Applied": self.applied} if self.applied else {}


def read_preference(header: str | None) -> Preference:
    """Read `Prefer`; preferences that are unknown are passed over, as the RFC wants it."""
    for word in (header or "").split(","):
        token = word.split(";")[0].strip()
        if token.lower() == "respond-async":
            return Preference(0.0, "respond-async")
        if found := _WAIT.fullmatch(token):
            seconds = min(float(found[1]), _LONGEST)
            return Preference(seconds, f"wait={seconds:.0f}")
    return Preference()


def read_idempotency_key(header: str | None) -> str | None:
    """Return the key, or refuse one that is empty, too long or not printable."""
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise InvalidError.of("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    return header
