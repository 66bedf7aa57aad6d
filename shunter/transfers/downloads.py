"""Fetching files: to a `.part` file first, resumed after a break, verified, then put in their place."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import httpx

from contracts.errors import ConflictError, InternalError, RefusedError, UnavailableError
from contracts.files import DownloadUrl
from shunter.problems import connecting
from shunter.retrying import Patience

from .checksums import blocks, sha256_of
from .metering import Meter, Progress
from .store import ExpiredError, Store

__all__ = ["Downloads"]


class Downloads:
    """Fetches files by presigned URLs."""

    def __init__(self, *, store: Store, patience: float, sleep: Callable[[float], None]) -> None:
        self._store = store
        self._patience = patience
        self._sleep = sleep

    def download(
        self,
        grant: Callable[[], DownloadUrl],
        target: Path,
        *,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> DownloadUrl:
        """Fetch one file; *grant* is asked for a URL, and for another when that one is too old."""
        wanted = grant()
        meter = Meter(wanted.size, progress, stop)
        if _is_there(target, wanted):
            meter.add(wanted.size)
            return wanted
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        if not self._fetch_verified(grant, wanted, part, meter):
            raise InternalError(f"{target.name}: the bytes that came do not have the checksum {wanted.sha256}")
        part.replace(target)
        return wanted

    def _fetch_verified(self, grant: Callable[[], DownloadUrl], wanted: DownloadUrl, part: Path, meter: Meter) -> bool:
        """Fetch; a leftover of another version of the file is thrown away and fetched once more."""
        for _ in range(2):
            had_some = part.exists() and part.stat().st_size > 0
            if self._fetch(grant, wanted, part, meter) == wanted.sha256:
                return True
            part.unlink(missing_ok=True)
            meter.add(-wanted.size)
            if not had_some:
                return False
        return False

    def _fetch(self, grant: Callable[[], DownloadUrl], wanted: DownloadUrl, part: Path, meter: Meter) -> str:
        """Bring the `.part` file to its full size, over as many connections as it takes; return its checksum."""
        known = hashlib.sha256()
        patience = Patience(self._patience)
        with part.open("ab") as file:
            if file.tell() > wanted.size:
                file.seek(file.truncate(0))
            for block in blocks(part, size=file.tell()):
                known.update(block)
                meter.add(len(block))
            url = wanted.url
            while file.tell() < wanted.size:
                try:
                    self._fetch_more(url, file, known, meter, patience)
                except ExpiredError:
                    self._sleep(patience.next_pause(UnavailableError("the store refuses its own URLs")))
                    url = _same_file(grant(), wanted).url
                except UnavailableError as error:
                    self._sleep(patience.next_pause(error))
        return known.hexdigest()

    def _fetch_more(self, url: str, file: BinaryIO, known: hashlib._Hash, meter: Meter, patience: Patience) -> None:
        offset = file.tell()
        with connecting("the object store"), self._store.get(url, offset=offset) as response:
            _check(response, offset)
            for block in response.iter_raw():
                file.write(block)
                known.update(block)
                meter.add(len(block))
                patience.renew()
        if file.tell() == offset:
            raise UnavailableError("the store sends nothing")


def _same_file(fresh: DownloadUrl, wanted: DownloadUrl) -> DownloadUrl:
    if fresh.sha256 != wanted.sha256:
        raise ConflictError("the file was replaced while it was being fetched; fetch it again")
    return fresh


def _check(response: httpx.Response, offset: int) -> None:
    status = response.status_code
    if status in {403, 404}:
        raise ExpiredError(f"the store answered {status}")
    if status >= 500 or status == 429:
        raise UnavailableError(f"the store answered {status}")
    if status != (206 if offset else 200):
        raise RefusedError(f"the store answered {status} to a request for bytes from {offset} on")


def _is_there(target: Path, wanted: DownloadUrl) -> bool:
    return target.is_file() and target.stat().st_size == wanted.size and sha256_of(target) == wanted.sha256
