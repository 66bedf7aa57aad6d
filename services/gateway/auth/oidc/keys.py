"""The keys of an issuer: read once, kept, read again when they are old or one is named that we do not know."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, OctKey, RSAKey

from contracts.errors import UnavailableError

from .fetching import Fetch
from .settings import IssuerSettings

__all__ = ["KeyBook"]

_FIRST_TRIES = 2.0
"""Seconds between two readings as long as we have no key at all."""

_MOST_KEYS = 64
_SMALLEST_RSA = 2048
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

log = structlog.get_logger(__name__)


class KeyBook:
    """The keys of one issuer. While the issuer is away, those we have go on to serve."""

    def __init__(self, settings: IssuerSettings, fetch: Fetch, *, ticks: Callable[[], float] = time.monotonic) -> None:
        """*ticks*: seconds of a clock that nobody sets."""
        self._settings = settings
        self._fetch = fetch
        self._ticks = ticks
        self._keys: Sequence[Key] = ()
        self._document: Mapping[str, Any] | None = None
        self._read_at = self._tried_at = -math.inf
        self._reading: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """Return the keys with which a signature may have been made; empty if there are none."""
        found = self._suited(kid, algorithm)
        now = self._ticks()
        if found and now - self._read_at < self._settings.keys_for:
            return found
        pause = self._settings.refetch_after if self._keys else _FIRST_TRIES
        if self._reading is None and now - self._tried_at >= pause:
            self._tried_at = now
            self._reading = asyncio.create_task(self._read())
        if found:  # they are old, but known: nobody waits
            return found
        if self._reading:
            await asyncio.shield(self._reading)
        return self._suited(kid, algorithm)

    async def get_document(self) -> Mapping[str, Any]:
        """Return the discovery document."""
        if self._document is None:
            self._document = await self._discover()
        return self._document

    async def _discover(self) -> Mapping[str, Any]:
        document = await self._fetch(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != self._settings.issuer:
            raise UnavailableError(f"the discovery document of {self._settings.name} is of another issuer")
        return document

    async def _read(self) -> None:
        try:
            document = await self._discover()
            keys = _import(await self._fetch(str(document.get("jwks_uri", ""))), self._settings.name)
        except UnavailableError as error:
            log.warning("issuer.keys_unread", issuer=self._settings.name, detail=error.detail, known=len(self._keys))
        else:
            self._document, self._keys, self._read_at = document, keys, self._ticks()
        finally:
            self._reading = None

    def _suited(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        kind = _KEY_TYPES[algorithm[:2]]
        return [
            key
            for key in self._keys
            if key.key_type == kind and key.get("alg") in {None, algorithm} and kid in {None, key.get("kid")}
        ]


def _import(document: Mapping[str, Any], issuer: str) -> Sequence[Key]:
    """Return the public keys for signatures; one that cannot be used does not spoil the others."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise UnavailableError(f"the keys of {issuer} are no list")
    keys: list[Key] = []
    for item in listed[:_MOST_KEYS]:
        try:
            key = KeySet.registry_cls.import_key(item)
            key.check_use("sig")
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.info("issuer.key_passed_over", issuer=issuer, detail=str(error))
            continue
        if _is_strong(key):
            keys.append(key)
    if not keys:
        raise UnavailableError(f"{issuer} shows no key that can be used")
    return keys


def _is_strong(key: Key) -> bool:
    if isinstance(key, OctKey):  # a shared secret, shown to everybody
        return False
    return not isinstance(key, RSAKey) or key.public_key.key_size >= _SMALLEST_RSA
