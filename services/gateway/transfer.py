"""Bytes between the object store and a request, by presigned URLs, a piece at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Any

import httpx

from contracts.errors import InvalidError, UnavailableError
from contracts.files import Part, PartDone

__all__ = ["Body", "Download", "Transfer"]

_PIECE = 256 * 1024

_LOST = (httpx.TransportError, AttributeError)
"""What a lost connection is called; anyio asks a socket for its address that a reset may have taken from it."""

_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each try to go on with a download that broke off."""

_FULL = 507


class Download:
    """An open download. Where the store breaks off, it goes on from there: an object's bytes never change."""

    def __init__(self, transfer: Transfer, url: str, start: int, response: httpx.Response) -> None:
        self._transfer = transfer
        self._url = url
        self._at = start
        self._response = response
        self._end = start + int(response.headers["content-length"])

    @property
    def content_type(self) -> str:
        """Return what the store says the bytes are."""
        return str(self._response.headers.get("content-type", "application/octet-stream"))

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the bytes, and close at the end."""
        response: httpx.Response | None = self._response
        pauses = iter(_PAUSES)
        while response is not None:
            lost: Exception | None = None
            try:
                async for piece in response.aiter_raw(_PIECE):
                    self._at += len(piece)
                    pauses = iter(_PAUSES)
                    yield piece
            except _LOST as error:
                lost = error
            finally:
                await response.aclose()
            response = await self._again(pauses, lost) if lost else None

    async def _again(self, pauses: Iterator[float], lost: Exception) -> httpx.Response | None:
        """Go on where it broke off; none if nothing is missing."""
        if self._at >= self._end:
            return None
        for pause in pauses:
            await asyncio.sleep(pause)
            with suppress(UnavailableError):
                return await self._transfer.fetch(self._url, f"bytes={self._at}-{self._end - 1}")
        raise UnavailableError(f"the store breaks off: {type(lost).__name__}", retry_after=2.0) from lost


class Body:
    """A request's body, taken in pieces of given sizes, hashed as it goes by."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self._hash = sha256()

    async def take(self, size: int) -> AsyncIterator[bytes]:
        """Give the next *size* bytes."""
        while size > 0:
            chunk = self._rest or await anext(self._chunks, b"")
            if not chunk:
                raise InvalidError("the body is shorter than Content-Length says")
            piece, self._rest = chunk[:size], chunk[size:]
            self._hash.update(piece)
            size -= len(piece)
            yield piece

    @property
    def sha256(self) -> str:
        """Return the hash of what was taken."""
        return self._hash.hexdigest()


class Transfer:
    """Talks to the store by the URLs that storage gives out."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def open(self, url: str, byte_range: str | None = None) -> Download:
        """Begin to GET; raises `UnavailableError` if the store does not give the bytes."""
        start = int(byte_range.removeprefix("bytes=").partition("-")[0]) if byte_range else 0
        return Download(self, url, start, await self.fetch(url, byte_range))

    async def fetch(self, url: str, byte_range: str | None = None) -> httpx.Response:
        """GET once."""
        headers = {"Range": byte_range} if byte_range else {}
        response = await self._send(self._http.build_request("GET", url, headers=headers), stream=True)
        if response.status_code != (206 if byte_range else 200):
            await response.aclose()
            raise UnavailableError(f"the store answers {response.status_code}", retry_after=2.0)
        return response

    async def put(self, part: Part, body: Body) -> PartDone:
        """PUT one part of an upload."""
        content: Any = body.take(part.size) if part.size else b""
        request = self._http.build_request("PUT", part.url, content=content, headers={"Content-Length": str(part.size)})
        response = await self._send(request)
        if response.status_code == _FULL:
            raise UnavailableError("the store is full", retry_after=60.0)
        if response.status_code != 200:
            raise UnavailableError(f"the store answers {response.status_code} to a part", retry_after=2.0)
        return PartDone(number=part.number, etag=response.headers.get("etag", "").strip('"'))

    async def _send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        try:
            return await self._http.send(request, stream=stream)
        except _LOST as error:
            raise UnavailableError(f"the store does not answer: {type(error).__name__}", retry_after=2.0) from error
