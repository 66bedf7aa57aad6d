"""Reading documents of an issuer: not too large, not too slow, and from nowhere else."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx

from contracts.errors import UnavailableError

from .settings import is_loopback_url

__all__ = ["Fetch", "Fetcher"]

_MOST = 512 * 1024


class Fetch(Protocol):
    """What reads a JSON object from a URL."""

    async def __call__(self, url: str, *, bearer: str | None = None) -> Mapping[str, Any]:
        """Return the object, or raise `UnavailableError`."""


class Fetcher:
    """Reads over HTTP. It is asked rarely, so that no connection is kept."""

    def __init__(self, *, loopback: bool, timeout: float, ca_file: Path | None = None) -> None:
        """*loopback*: whether the issuer is on this machine, so that plain HTTP to this machine is allowed."""
        self._loopback = loopback
        self._timeout = timeout
        self._ca_file = ca_file
        self._trust: ssl.SSLContext | None = None

    async def __call__(self, url: str, *, bearer: str | None = None) -> Mapping[str, Any]:
        """Return the JSON object at *url*; whatever is wrong with it is `UnavailableError`."""
        self._check(url)
        try:
            async with asyncio.timeout(self._timeout):
                raw = await self._read(url, {"Authorization": f"Bearer {bearer}"} if bearer else {})
            found = json.loads(raw)
        except TimeoutError:
            raise UnavailableError(f"{url} did not answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise UnavailableError(f"{url} cannot be read: {error or type(error).__name__}") from error
        except (ValueError, RecursionError):
            raise UnavailableError(f"{url} is no JSON") from None
        if not isinstance(found, dict):
            raise UnavailableError(f"{url} is no JSON object")
        return found

    def _check(self, url: str) -> None:
        if not url.startswith("https://") and not (self._loopback and url.startswith("http://") and _is_local(url)):
            raise UnavailableError(f"{url[:200]!r} is not read: it must begin with https://")

    async def _read(self, url: str, headers: Mapping[str, str]) -> bytes:
        if self._trust is None:
            self._trust = ssl.create_default_context(cafile=self._ca_file)
        # The environment's proxies are for the outside world; redirects could lead anywhere.
        client = httpx.AsyncClient(
            verify=self._trust, follow_redirects=False, timeout=self._timeout, trust_env=not self._loopback
        )
        pieces, size = [], 0
        async with client, client.stream("GET", url, headers={"Accept": "application/json", **headers}) as answer:
            if answer.status_code != 200:
                raise UnavailableError(f"{url} answered {answer.status_code}")
            async for piece in answer.aiter_bytes():
                size += len(piece)
                if size > _MOST:
                    raise UnavailableError(f"{url} is larger than {_MOST} bytes")
                pieces.append(piece)
        return b"".join(pieces)


def _is_local(url: str) -> bool:
    try:
        return is_loopback_url(url)
    except ValueError:
        return False
