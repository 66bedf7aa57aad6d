"""Secrets that must be read again, sealed for the database."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from contracts.errors import InternalError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

__all__ = ["Sealer"]


class Sealer:
    """Seals with the first of the site's keys, and opens with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys

    @cached_property
    def _box(self) -> MultiFernet:
        from cryptography.fernet import MultiFernet

        return MultiFernet([_box_of(key) for key in self._keys])

    def seal(self, secret: str) -> str:
        """Return what may lie in a database."""
        return self._box.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return the secret."""
        from cryptography.fernet import InvalidToken

        try:
            return self._box.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise InternalError("a key pair was sealed with a key that gateway.identity.sealing_keys lacks") from error


def _box_of(key: str) -> Fernet:
    """Derive the key for this one purpose, whatever else the site's secret is used for."""
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"shunter key pairs").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
