"""Talking to the object store by presigned URLs. The caller's token never goes there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
from tenacity import Retrying

from contracts.errors import UnavailableError
from contracts.files import Part, PartDone
from shunter.problems import connecting, error_from
from shunter.retrying import policy

from .checksums import blocks
from .metering import Meter

__all__ = ["ExpiredError", "Store"]

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class ExpiredError(Exception):
    """The store does not honour a URL any more; a new one must be asked for."""


class Store:
    """The store, as far as presigned URLs reach."""

    def __init__(self, http: httpx.Client, *, patience: float, sleep: Callable[[float], None]) -> None:
        self._http = http
        self._patience = patience
        self._sleep = sleep

    def put(self, part: Part, source: Path, meter: Meter) -> PartDone:
        """Bring one part of a file, again if the connection breaks."""
        retrying = Retrying(**policy(repeatable=True, patience=self._patience), sleep=self._sleep)
        return retrying(self._put_once, part, source, meter)

    def _put_once(self, part: Part, source: Path, meter: Meter) -> PartDone:
        sent = _Sent(meter)
        content = (sent.count(block) for block in blocks(source, offset=part.offset, size=part.size))
        try:
            with connecting(_server_of(part.url)):
                response = self._http.put(
                    part.url, content=content, headers={"Content-Length": str(part.size)}, timeout=_TIMEOUT
                )
            _check(response)
        except BaseException:
            sent.take_back()
            raise
        etag = response.headers.get("etag", "").strip('"')
        return PartDone(number=part.number, etag=etag, sha256=sent.sha256)

    def get(self, url: str, *, offset: int = 0) -> AbstractContextManager[httpx.Response]:
        """Open a file for reading, from *offset* on."""
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}
        return self._http.stream("GET", url, headers=headers, timeout=_TIMEOUT)


class _Sent:
    """What one try has sent; a failed try takes it back from the meter."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._bytes = 0
        self._hash = hashlib.sha256()

    def count(self, block: bytes) -> bytes:
        self._meter.add(len(block))
        self._bytes += len(block)
        self._hash.update(block)
        return block

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def take_back(self) -> None:
        self._meter.add(-self._bytes)


def _check(response: httpx.Response) -> None:
    if response.status_code in {403, 404}:
        raise ExpiredError(f"the store answered {response.status_code}")
    if response.status_code >= 500:
        raise UnavailableError(f"the store answered {response.status_code}")
    if not response.is_success:
        raise error_from(response.status_code, response.headers, b"")


def _server_of(url: str) -> str:
    """Leave the signature out of what may be printed."""
    found = httpx.URL(url)
    return f"{found.scheme}://{found.netloc.decode()}"
