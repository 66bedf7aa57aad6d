"""Many files at once: a client's `bulk`."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from contracts.errors import UnavailableError
from contracts.transfers import FormUpload

from .calls import bulk as calls
from .problems import connecting, error_from
from .transfers.metering import Meter, Progress

__all__ = ["AsyncBulk", "Bulk"]


class Bulk:
    """Fetches folders as zips, and asks for forms by which browsers bring files into them."""

    def __init__(self, send: Callable[[Any], Any], http: httpx.Client, server: str) -> None:
        self._send = send
        self._http = http
        self._server = server

    def zip(
        self, folder: str, target: Path | str, *, owner: str | None = None, progress: Progress | None = None
    ) -> int:
        """Fetch a folder as a zip and return its size; it takes its place when all has come. `""` is everything."""
        place = Path(target)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.part")
        try:
            size = self._fetch(folder, owner, part, Meter(0, progress))
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
        return size

    def form(
        self, folder: str = "", *, owner: str | None = None, most: int | None = None, expires: float = 600.0
    ) -> FormUpload:
        """Return a form by which a browser brings files of at most *most* bytes into a folder."""
        found: FormUpload = self._send(calls.open_form(folder, owner=owner, most=most, expires=expires))
        return found

    def _fetch(self, folder: str, owner: str | None, part: Path, meter: Meter) -> int:
        request = calls.zip_folder(folder, owner=owner).to_request(self._http)
        with connecting(self._server):
            response = self._http.send(request, stream=True)
            try:
                if not response.is_success:
                    raise error_from(response.status_code, response.headers, response.read())
                with part.open("wb") as file:
                    for piece in response.iter_raw():
                        file.write(piece)
                        meter.add(len(piece))
            finally:
                response.close()
        if not zipfile.is_zipfile(part):
            raise UnavailableError("the zip came without its end; fetch it again")
        return part.stat().st_size


class AsyncBulk:
    """Fetches folders as zips, and asks for forms by which browsers bring files into them."""

    def __init__(self, send: Callable[[Any], Awaitable[Any]], carrier: Bulk) -> None:
        self._send = send
        self._carrier = carrier

    async def zip(
        self, folder: str, target: Path | str, *, owner: str | None = None, progress: Progress | None = None
    ) -> int:
        """Fetch a folder as a zip and return its size; it takes its place when all has come. `""` is everything."""
        return await asyncio.to_thread(self._carrier.zip, folder, target, owner=owner, progress=progress)

    async def form(
        self, folder: str = "", *, owner: str | None = None, most: int | None = None, expires: float = 600.0
    ) -> FormUpload:
        """Return a form by which a browser brings files of at most *most* bytes into a folder."""
        found: FormUpload = await self._send(calls.open_form(folder, owner=owner, most=most, expires=expires))
        return found
