"""One request to the store at a time and thread, by what Python brings along."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from .errors import AwayError, ExpiredError, RefusedError

__all__ = ["Download", "Wire", "measure"]

_PIECE = 1024 * 1024
_TIMEOUT = 60.0
_EXPIRED = 403
"""What stores answer to a URL that is too old."""


class Download:
    """A file on its way in."""

    def __init__(self, draft: Path) -> None:
        self.draft = draft
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self.size = 0
        self.digest = hashlib.sha256()
        self.draft.write_bytes(b"")

    def add(self, piece: bytes) -> None:
        """Take a piece."""
        with self.draft.open("ab") as file:
            file.write(piece)
        self.digest.update(piece)
        self.size += len(piece)


class Wire:
    """The connections to the store, one for each thread; it is reached directly, without a proxy."""

    def __init__(self, ca: str = "") -> None:
        self._ca = ca
        self._kept = threading.local()

    def get(self, url: str, download: Download, what: str) -> bool:
        """Go on with a download; returns False if the store has no such object. Runs in a thread."""
        headers = {"Range": f"bytes={download.size}-"} if download.size else {}
        try:
            response = self._ask("GET", url, headers, None)
            if response.status == 404:
                response.read()
                return False
            _check(response, what)
            if response.status != 206:
                download.restart()
            piece = response.read(_PIECE)
            while piece:
                download.add(piece)
                piece = response.read(_PIECE)
        except (OSError, HTTPException) as error:
            self._drop()
            raise AwayError(f"{what}: the store does not answer: {type(error).__name__}") from error
        return True

    def put(self, url: str, source: Path, offset: int, size: int, what: str) -> str:
        """Bring a part of a file; returns its tag. Runs in a thread."""
        try:
            headers = {"Content-Length": str(size)}
            response = self._ask("PUT", url, headers, _pieces(source, offset, size))
            _check(response, what)
            response.read()
        except (OSError, HTTPException) as error:
            self._drop()
            raise AwayError(f"{what}: the store does not answer: {type(error).__name__}") from error
        return response.headers.get("ETag", "").strip('"')

    def _ask(self, method: str, url: str, headers: dict[str, str], body: Iterator[bytes] | None) -> HTTPResponse:
        split = urlsplit(url)
        place = (split.scheme, split.netloc)
        if getattr(self._kept, "place", None) != place:
            self._drop()
            self._kept.connection, self._kept.place = self._connect(split.scheme, split.netloc), place
        connection: HTTPConnection = self._kept.connection
        path = split.path + (f"?{split.query}" if split.query else "")
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        if response.status >= 300 and response.status != 404:
            # What else it says is of no interest, and may be long.
            self._drop()
        return response

    def _connect(self, scheme: str, netloc: str) -> HTTPConnection:
        if scheme != "https":
            return HTTPConnection(netloc, timeout=_TIMEOUT)
        context = ssl.create_default_context()
        if self._ca:
            context.load_verify_locations(cadata=self._ca)
        return HTTPSConnection(netloc, timeout=_TIMEOUT, context=context)

    def _drop(self) -> None:
        connection = getattr(self._kept, "connection", None)
        if connection is not None:
            connection.close()
        self._kept.connection = self._kept.place = None


def _check(response: HTTPResponse, what: str) -> None:
    status = response.status
    if status < 300:
        return
    if status == _EXPIRED:
        raise ExpiredError(f"{what}: the store answers {status}")
    if status >= 500 or status in {408, 425, 429}:
        raise AwayError(f"{what}: the store answers {status}")
    raise RefusedError(f"{what}: the store answers {status}")


def _pieces(source: Path, offset: int, size: int) -> Iterator[bytes]:
    with source.open("rb") as file:
        file.seek(offset)
        while size > 0:
            piece = file.read(min(size, _PIECE))
            if not piece:
                return
            size -= len(piece)
            yield piece


def measure(source: Path) -> tuple[int, str]:
    """Return the size of a file and its checksum."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as file:
        piece = file.read(_PIECE)
        while piece:
            digest.update(piece)
            size += len(piece)
            piece = file.read(_PIECE)
    return size, digest.hexdigest()
