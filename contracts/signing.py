"""Requests signed with a key pair: the same words for whoever signs and for whoever checks."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

__all__ = ["BODY_HEADER", "NO_BODY", "SCHEME", "Signature", "sign"]

SCHEME = "Shunter-HMAC-SHA256"
"""What stands first in `Authorization`."""

BODY_HEADER = "X-Content-SHA256"
"""The header that says the sha256 of the body; part of what is signed."""

NO_BODY = sha256(b"").hexdigest()
"""The checksum of nothing."""

_SIGNATURE = re.compile(
    r"Credential=([A-Za-z0-9_-]{8,64}), ?Date=(\d{8}T\d{6}Z), ?Nonce=([A-Za-z0-9_-]{8,64}), ?Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Signature:
    """What stands behind the scheme: which key, when, a word that is never used twice, and the signature."""

    access_key: str
    date: str
    nonce: str
    digest: str

    @classmethod
    def read(cls, text: str) -> Signature | None:
        """Read it from a header; None if it is none."""
        found = _SIGNATURE.fullmatch(text.strip())
        return cls(*found.groups()) if found else None

    @property
    def at(self) -> datetime:
        """Return when it was signed, as its signer says."""
        return datetime.strptime(self.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    def fits(self, secret: str, *, method: str, host: str, target: str, body_sha256: str) -> bool:
        """Say whether it was made with *secret* for this request."""
        right = _digest(secret, self.date, self.nonce, method, host, target, body_sha256)
        return hmac.compare_digest(right, self.digest)


def sign(
    access_key: str,
    secret: str,
    *,
    method: str,
    host: str,
    target: str,
    body_sha256: str = NO_BODY,
    at: datetime,
    nonce: str | None = None,
) -> dict[str, str]:
    """Return the headers of a signed request; *target* is its path with its query, as they are sent."""
    date, word = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"), nonce or secrets.token_urlsafe(12)
    digest = _digest(secret, date, word, method, host, target, body_sha256)
    said = f"{SCHEME} Credential={access_key}, Date={date}, Nonce={word}, Signature={digest}"
    return {"Authorization": said, BODY_HEADER: body_sha256}


def _digest(secret: str, date: str, nonce: str, method: str, host: str, target: str, body: str) -> str:
    lines = (SCHEME, date, nonce, method.upper(), host.lower(), target, body.lower())
    return hmac.new(secret.encode(), "\n".join(lines).encode(), sha256).hexdigest()
