"""Sharing, and what others share: a client's `sharing`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from contracts.files import DownloadUrl, FileRecord
from contracts.grants import Grant, GrantPage, Right

from .calls import files
from .calls import grants as calls
from .models import FileList
from .transfers.downloads import Downloads
from .transfers.metering import Progress
from .transfers.uploads import Uploads

__all__ = ["AsyncSharing", "Sharing"]


class Sharing:
    """Who else may read or control our jobs and folders, and the files that others share with us.

    A grantee is `user:<subject>`, `project:<name>` or `token:<id>`.
    """

    def __init__(self, send: Callable[[Any], Any], uploads: Uploads, downloads: Downloads) -> None:
        self._send = send
        self._uploads = uploads
        self._downloads = downloads

    def share_job(
        self, job_id: str, grantee: str, right: Right = Right.READ, *, until: datetime | None = None
    ) -> Grant | None:
        """Share a job; none: the scheduler is away, the command is kept."""
        found: Grant | None = self._send(calls.share_job(job_id, grantee, right, until))
        return found

    def unshare_job(self, job_id: str, grantee: str) -> bool:
        """Share a job no more; false: it will be done later."""
        done: bool = self._send(calls.unshare_job(job_id, grantee))
        return done

    def list_job_grants(self, job_id: str, *, limit: int = 100, cursor: str | None = None) -> GrantPage:
        """Return a page of who else may read or control a job."""
        page: GrantPage = self._send(calls.list_job_grants(job_id, limit=limit, cursor=cursor))
        return page

    def share_folder(
        self,
        folder: str,
        grantee: str,
        right: Right = Right.READ,
        *,
        until: datetime | None = None,
        owner: str | None = None,
    ) -> Grant | None:
        """Share a folder; none: storage is away, the command is kept."""
        found: Grant | None = self._send(calls.share_folder(folder, grantee, right, until, owner=owner))
        return found

    def unshare_folder(self, folder: str, grantee: str, *, owner: str | None = None) -> bool:
        """Share a folder no more; false: it will be done later."""
        done: bool = self._send(calls.unshare_folder(folder, grantee, owner=owner))
        return done

    def list_folder_grants(
        self, folder: str | None = None, *, owner: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> GrantPage:
        """Return a page of who else may read or write in a folder, or in any."""
        page: GrantPage = self._send(calls.list_folder_grants(folder, owner=owner, limit=limit, cursor=cursor))
        return page

    def list_shared(
        self, kind: Literal["job", "folder"] | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> GrantPage:
        """Return a page of what others share with us."""
        page: GrantPage = self._send(calls.list_shared(kind=kind, limit=limit, cursor=cursor))
        return page

    def list_files(
        self, owner: str, prefix: str = "", *, recursive: bool = True, limit: int = 100, cursor: str | None = None
    ) -> FileList:
        """Return a page of the files of *owner*'s that they share, below a prefix."""
        call = files.list_files(prefix, recursive=recursive, limit=limit, cursor=cursor, owner=owner)
        page: FileList = self._send(call)
        return page

    def iter_files(self, owner: str, prefix: str = "") -> Iterator[FileRecord]:
        """Go through all files of *owner*'s that they share, below a prefix."""
        cursor: str | None = None
        while True:
            page = self.list_files(owner, prefix, limit=500, cursor=cursor)
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def upload(
        self,
        owner: str,
        local: Path | str,
        remote: str,
        *,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> FileRecord:
        """Bring a file into a folder that *owner* shares with `control`."""
        return self._uploads.upload(Path(local), remote, owner=owner, progress=progress, stop=stop)

    def download(
        self,
        owner: str,
        remote: str,
        target: Path | str,
        *,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> DownloadUrl:
        """Fetch a file that *owner* shares."""
        return self._downloads.download(
            lambda: self._send(files.download_url(remote, owner=owner)), Path(target), progress=progress, stop=stop
        )


class AsyncSharing:
    """Who else may read or control our jobs and folders, and the files that others share with us.

    A grantee is `user:<subject>`, `project:<name>` or `token:<id>`.
    """

    def __init__(self, send: Callable[[Any], Awaitable[Any]], carrier: Sharing) -> None:
        self._send = send
        self._carrier = carrier

    async def share_job(
        self, job_id: str, grantee: str, right: Right = Right.READ, *, until: datetime | None = None
    ) -> Grant | None:
        """Share a job; none: the scheduler is away, the command is kept."""
        found: Grant | None = await self._send(calls.share_job(job_id, grantee, right, until))
        return found

    async def unshare_job(self, job_id: str, grantee: str) -> bool:
        """Share a job no more; false: it will be done later."""
        done: bool = await self._send(calls.unshare_job(job_id, grantee))
        return done

    async def list_job_grants(self, job_id: str, *, limit: int = 100, cursor: str | None = None) -> GrantPage:
        """Return a page of who else may read or control a job."""
        page: GrantPage = await self._send(calls.list_job_grants(job_id, limit=limit, cursor=cursor))
        return page

    async def share_folder(
        self,
        folder: str,
        grantee: str,
        right: Right = Right.READ,
        *,
        until: datetime | None = None,
        owner: str | None = None,
    ) -> Grant | None:
        """Share a folder; none: storage is away, the command is kept."""
        found: Grant | None = await self._send(calls.share_folder(folder, grantee, right, until, owner=owner))
        return found

    async def unshare_folder(self, folder: str, grantee: str, *, owner: str | None = None) -> bool:
        """Share a folder no more; false: it will be done later."""
        done: bool = await self._send(calls.unshare_folder(folder, grantee, owner=owner))
        return done

    async def list_folder_grants(
        self, folder: str | None = None, *, owner: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> GrantPage:
        """Return a page of who else may read or write in a folder, or in any."""
        page: GrantPage = await self._send(calls.list_folder_grants(folder, owner=owner, limit=limit, cursor=cursor))
        return page

    async def list_shared(
        self, kind: Literal["job", "folder"] | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> GrantPage:
        """Return a page of what others share with us."""
        page: GrantPage = await self._send(calls.list_shared(kind=kind, limit=limit, cursor=cursor))
        return page

    async def list_files(
        self, owner: str, prefix: str = "", *, recursive: bool = True, limit: int = 100, cursor: str | None = None
    ) -> FileList:
        """Return a page of the files of *owner*'s that they share, below a prefix."""
        call = files.list_files(prefix, recursive=recursive, limit=limit, cursor=cursor, owner=owner)
        page: FileList = await self._send(call)
        return page

    async def upload(
        self, owner: str, local: Path | str, remote: str, *, progress: Progress | None = None
    ) -> FileRecord:
        """Bring a file into a folder that *owner* shares with `control`."""
        stop = threading.Event()
        try:
            return await asyncio.to_thread(self._carrier.upload, owner, local, remote, progress=progress, stop=stop)
        finally:
            stop.set()

    async def download(
        self, owner: str, remote: str, target: Path | str, *, progress: Progress | None = None
    ) -> DownloadUrl:
        """Fetch a file that *owner* shares."""
        stop = threading.Event()
        try:
            return await asyncio.to_thread(self._carrier.download, owner, remote, target, progress=progress, stop=stop)
        finally:
            stop.set()
