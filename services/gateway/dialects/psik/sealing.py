"""Secrets that must be known again but read by nobody: sealed by the site's key, each for one job."""

from __future__ import annotations

import base64
import secrets
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from contracts.errors import InvalidError

__all__ = ["Seal"]

_INFO = b"shunter psik client_secret"

_NONCE = 12
_MOST = 256
"""Characters of a label."""


class Seal:
    """Seals and opens; what was sealed for one job does not open for another."""

    def __init__(self, key: SecretStr) -> None:
        self._cipher = _cipher_of(key.get_secret_value())

    def close(self, secret: str, jobid: str) -> str:
        """Return the secret, sealed."""
        if self._cipher is None:
            raise InvalidError.of("client_secret", "this site keeps no secrets: it has no key to seal them with")
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, secret.encode(), jobid.encode())
        text = base64.urlsafe_b64encode(sealed).decode()
        if len(text) > _MOST:
            raise InvalidError.of("client_secret", "is too long")
        return text

    def open(self, sealed: str, jobid: str) -> bytes | None:
        """Return the secret; None for what was not sealed here for this job."""
        try:
            raw = base64.urlsafe_b64decode(sealed)
            if self._cipher is None:
                return None
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], jobid.encode())
        except (InvalidTag, ValueError):
            return None


@cache
def _cipher_of(key: str) -> AESGCM | None:
    """Derive it once: each request has a seal."""
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(key.encode())) if key else None
