"""Seals users' secrets, so that only the services of this site can read them, wherever they travel and lie."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretStr

from contracts.errors import InvalidError
from contracts.hooks import SEALED, is_sealed

from .settings import ChassisSettings
from .tickets import MIN_KEY

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["MOST_OF_SECRET", "Sealer"]

MOST_OF_SECRET = 256
"""Bytes of a secret."""

_NONCE = 12
_PURPOSE = b"shunter.sealing.v1."


class Sealer:
    """Seals and opens with a key that is derived from the site's."""

    def __init__(self, key: SecretStr) -> None:
        self._secret = key

    @classmethod
    def of(cls, settings: ChassisSettings) -> Sealer:
        """Return the sealer of a site: with a key of its own, or one derived from that of the tickets."""
        return cls(settings.sealing_key if settings.sealing_key.get_secret_value() else settings.ticket_key)

    def seal(self, secret: str, *, most: int = MOST_OF_SECRET) -> str:
        """Return *secret* as it may travel; raises `InvalidError` for what is longer than *most* or looks sealed."""
        if is_sealed(secret):
            raise InvalidError.of("secret", f"must not begin with {SEALED!r}")
        plain = secret.encode("utf-8", "surrogatepass")
        if len(plain) > most:
            raise InvalidError.of("secret", f"must not be longer than {most} bytes")
        nonce = secrets.token_bytes(_NONCE)
        return SEALED + base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, plain, None)).decode()

    def open(self, sealed: str) -> str:
        """Return the secret; raises `InvalidError` for what was not sealed here."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.urlsafe_b64decode(sealed.removeprefix(SEALED))
            plain = self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], None)
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise InvalidError.of("secret", "was not sealed by this site, or its key is another one now") from error
        return plain.decode("utf-8", "surrogatepass")

    def mark(self, secret: str) -> str:
        """Return what is the same for the same secret and tells nobody anything about it."""
        return hmac.new(self._key(b"mark"), secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    @cached_property
    def _cipher(self) -> AESGCM:
        # Imported by whoever has a secret to seal: most processes never do.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key(b"seal"))

    def _key(self, use: bytes) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        secret = self._secret.get_secret_value()
        if len(secret) < MIN_KEY:
            raise InvalidError.of("secret", "this site has no key to keep secrets with; its operator sets `ticket_key`")
        return HKDF(SHA256(), length=32, salt=None, info=_PURPOSE + use).derive(secret.encode())
