"""A folder of this machine as an object store, for sites without S3."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from contracts.errors import NotFoundError, UnavailableError
from services.storage.digests import Digests
from services.storage.faults_disk import FullError, disk_translated
from services.storage.objects import Arrival, Content, Form, StoredPart

from .disk import Disk
from .doors import Door, Doors, until

__all__ = ["FolderObjects"]

_PIECE = 2**20

_T = TypeVar("_T")


class FolderObjects:
    """Objects as files. The URLs that it signs are served by `folder.app` of this same service."""

    def __init__(self, disk: Disk, doors: Doors, *, calls: int, readers: int) -> None:
        self.disk = disk
        self.doors = doors
        # Two pools, so that a short call never waits behind the reading of large objects.
        self._calls = ThreadPoolExecutor(calls, "folder-call")
        self._readers = ThreadPoolExecutor(readers, "folder-read")
        self._closing = threading.Event()

    def close(self) -> None:
        """Let go of the threads; objects that are being read are put aside."""
        self._closing.set()
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def check(self) -> None:
        """Make sure that the folder is there and can be written to."""
        await self.call(self._check)

    async def tidy(self, age: timedelta) -> int:
        """Remove files that were on their way when we crashed."""
        return await self.call(lambda: self.disk.tidy(age.total_seconds()))

    async def presign_get(self, key: str, expires: timedelta, *, filename: str, content_type: str) -> str:
        """Return a URL that gives the object under a name."""
        door = Door(does="get", key=key, until=until(expires), filename=filename, content_type=content_type)
        return self.doors.open(door)

    async def presign_gets(self, keys: Sequence[str], expires: timedelta) -> list[str]:
        """Return a URL for each object."""
        end = until(expires)
        return [self.doors.open(Door(does="get", key=key, until=end)) for key in keys]

    async def presign_put(self, key: str, expires: timedelta) -> str:
        """Return a URL that takes the whole object."""
        return self.doors.open(Door(does="put", key=key, until=until(expires)))

    async def presign_parts(self, key: str, upload_id: str, numbers: Sequence[int], expires: timedelta) -> list[str]:
        """Return a URL that takes it, for each part."""
        end = until(expires)
        doors = [Door(does="part", key=key, until=end, upload_id=upload_id, number=number) for number in numbers]
        return [self.doors.open(door) for door in doors]

    async def begin(self, key: str, content_type: str, size: int) -> str:
        """Begin an upload in parts; what there is no room for is refused before its bytes come."""
        del key, content_type  # both are said again when the object is fetched
        return await self.call(lambda: self._begin(size))

    async def parts(self, key: str, upload_id: str) -> list[StoredPart]:
        """Return the parts that are there."""
        del key
        return await self.call(lambda: self.disk.parts(upload_id))

    async def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> None:
        """Make the object of its parts."""
        await self.call(lambda: self.disk.complete(key, upload_id, parts), long=True)

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop an upload and its parts."""
        del key
        await self.call(lambda: self.disk.abort(upload_id))

    async def exists(self, key: str) -> bool:
        """Say whether the object is there."""
        return await self.call(lambda: self.disk.place(key).is_file())

    async def measure(self, key: str, expected_size: int, part_size: int | None = None) -> Content:
        """Read the object through for its checksum, if it has the right size."""
        return await self.call(lambda: self._read(key, expected_size, part_size), long=True)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        await self.call(lambda: self.disk.delete(keys))

    async def form(self, prefix: str, expires: timedelta, most: int) -> Form:
        """Return a form that takes files under a prefix."""
        policy = self.doors.sign(Door(does="form", key=prefix, until=until(expires), most=most))
        return Form(self.doors.url, {"key": f"{prefix}${{filename}}", "policy": policy})

    async def arrivals(self, prefix: str) -> list[Arrival]:
        """Return what came below a prefix."""
        return await self.call(lambda: self.disk.arrivals(prefix))

    async def adopt(self, arrival: Arrival, key: str) -> None:
        """Give what arrived a key of its own."""
        await self.call(lambda: self.disk.adopt(arrival, key))

    async def call(self, function: Callable[[], _T], *, long: bool = False) -> _T:
        """Do something with the disk in a thread."""
        with disk_translated():
            pool = self._readers if long else self._calls
            return await asyncio.get_running_loop().run_in_executor(pool, function)

    def _check(self) -> None:
        self.disk.ensure()
        with self.disk.incoming():
            pass

    def _begin(self, size: int) -> str:
        if not self.disk.has_room(size):
            raise FullError
        return self.disk.begin()

    def _read(self, key: str, expected_size: int, part_size: int | None) -> Content:
        try:
            file = self.disk.place(key).open("rb")
        except FileNotFoundError:
            raise NotFoundError("the object store has no such object or upload") from None
        with file:
            at = os.fstat(file.fileno())
            if at.st_size != expected_size:
                return Content(at.st_size, "")
            if (part_size is None or at.st_size <= part_size) and (known := self.disk.hashed.of(at)):
                return Content(at.st_size, known, () if part_size is None else (known,))
            digests = Digests(part_size)
            while piece := file.read(_PIECE):
                if self._closing.is_set():
                    raise UnavailableError("the service is stopping; the object is read again later")
                digests.update(piece)
            return digests.content()
