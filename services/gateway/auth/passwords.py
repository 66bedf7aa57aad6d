"""Names and passwords: `Authorization: Basic`, and what logins check."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import secrets
import time
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from contracts.errors import UnauthenticatedError
from services.chassis.unit import UnitOfWork
from services.gateway.identity.register import Register
from services.gateway.identity.store import password_of

from .authenticator import Authenticator
from .passport import Passport

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["Passwords"]

_AT_ONCE = 2
"""Hashes that are computed at the same time; each takes 64 MiB and some 50 ms of two cores."""

_REMEMBERED = 300.0
"""Seconds for which a password that was right is not hashed again."""
_MOST_REMEMBERED = 1024

_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,255}")
_NOT_RIGHT = "the name or the password is not right"


class Passwords(Authenticator):
    """Checks passwords. Who slows down guessing puts himself before `check`."""

    def __init__(self, unit: UnitOfWork, register: Register) -> None:
        self._unit = unit
        self._register = register
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._salt = secrets.token_bytes(32)
        self._right: dict[bytes, tuple[float, int]] = {}

    @cached_property
    def _hasher(self) -> PasswordHasher:
        from argon2 import PasswordHasher

        return PasswordHasher()

    @cached_property
    def _nobodys(self) -> str:
        """A hash that no password has: who is not known costs as much time as who is."""
        return self._hasher.hash(secrets.token_urlsafe(32))

    async def authenticate(self, connection: HTTPConnection) -> Passport | None:
        """Return whose name and password these are."""
        scheme, _, text = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            subject, colon, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise UnauthenticatedError("Basic credentials are base64 of name:password") from None
        if not colon:
            raise UnauthenticatedError("Basic credentials are base64 of name:password")
        return await self.check(subject, password)

    async def check(self, subject: str, password: str) -> Passport:
        """Return the user's passport, or raise `UnauthenticatedError`."""
        mark = hmac.digest(self._salt, f"{subject}:{password}".encode(), sha256)
        revision = self._register.entry(subject).revision
        known = self._right.get(mark)
        if known is None or known[0] < time.monotonic() or known[1] != revision:
            self._right.pop(mark, None)
            await self._verify(subject, password)
            self._remember(mark, revision)
        return Passport(self._register.named(subject), "password")

    async def _verify(self, subject: str, password: str) -> None:
        kept = None
        if _SUBJECT.fullmatch(subject):
            async with self._unit.looking_up() as connection:
                kept = await password_of(connection, subject)
        async with self._turn:
            right = await asyncio.to_thread(self._is_right, kept, password)
        if not right:
            raise UnauthenticatedError(_NOT_RIGHT)

    def _is_right(self, kept: str | None, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            self._hasher.verify(kept or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None

    def _remember(self, mark: bytes, revision: int) -> None:
        if len(self._right) >= _MOST_REMEMBERED:
            del self._right[next(iter(self._right))]
        self._right[mark] = (time.monotonic() + _REMEMBERED, revision)

    async def hash(self, password: str) -> str:
        """Return what may be kept of a password."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)
