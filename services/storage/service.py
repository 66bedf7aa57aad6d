"""Files as their owners see them: look, list, fetch, delete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePosixPath

from contracts.commands import DeleteFile
from contracts.envelope import Context
from contracts.errors import NotFoundError
from contracts.files import Deleted, DownloadUrl, FileRecord
from contracts.model import now
from contracts.principals import Principal
from contracts.queries import DownloadFile, FilePage, GetFile, ListFiles
from services.chassis.policy import longest_url
from services.chassis.unit import UnitOfWork

from .folders import shelf
from .listing import Listing, list_page, successor
from .objects import Objects
from .removing import drop_folders, remove_all
from .rights import owner_for, ranges_for, within
from .store import find_file, range_of_files
from .stored import Reason, StoredFile
from .superseded import count_caused

__all__ = ["FileService"]

_BATCH = 1000
"""Files deleted in one transaction; a folder may hold any number."""


class FileService:
    """Answers for whoever may see the files; what one may not see does not exist."""

    def __init__(self, *, unit: UnitOfWork, objects: Objects, areas: Sequence[str] = ()) -> None:
        self._unit = unit
        self._objects = objects
        self._areas = areas

    async def get(self, query: GetFile) -> FileRecord:
        """Return the record of one file."""
        return (await self._find(query.principal, query.owner, query.path)).to_record()

    async def page(self, query: ListFiles) -> FilePage:
        """Return a page of files below a prefix."""
        owner = query.owner or query.principal.subject
        listing = Listing(query.prefix, query.recursive, query.limit, query.cursor)
        async with self._unit.reading() as connection:
            ranges = await ranges_for(connection, query.principal, owner, query.prefix)
            return await list_page(
                listing,
                lambda start, end, limit: shelf(connection, owner, within(ranges, start, end), limit, self._areas),
            )

    async def download(self, query: DownloadFile) -> DownloadUrl:
        """Return a URL that gives the file under its own name, for a while."""
        file = await self._find(query.principal, query.owner, query.path)
        span = timedelta(seconds=max(1.0, longest_url(query.principal, file.owner, query.expires)))
        expires_at = now() + span
        name = PurePosixPath(file.path).name
        url = await self._objects.presign_get(file.key, span, filename=name, content_type=file.content_type)
        return DownloadUrl(url=url, size=file.size, sha256=file.sha256, expires_at=expires_at)

    async def delete(self, command: DeleteFile, *, cause: str, context: Context) -> Deleted:
        """Delete a file or a folder. The message *cause* again deletes nothing more and gets the same answer."""
        reason, folders = Reason.PURGED if command.forever else Reason.DELETED, 0
        while len(files := await self._doomed(command)) > _BATCH:
            async with self._unit.begin(context) as work:
                await remove_all(work, files[:_BATCH], cause, reason)
        async with self._unit.handling(cause, context) as first:
            if first:
                await remove_all(first, files, cause, reason)
                if command.recursive:
                    folders = len(await drop_folders(first, command.principal.subject, f"{command.path}/"))
        async with self._unit.reading() as connection:
            deleted = await count_caused(connection, cause)
        if first and not deleted and not folders and not self._is_area(command):
            raise NotFoundError(f"there is no {'file or folder' if command.recursive else 'file'} {command.path}")
        return Deleted(deleted=deleted, folders=folders)

    def _is_area(self, command: DeleteFile) -> bool:
        return command.recursive and f"{command.path}/" in self._areas

    async def _doomed(self, command: DeleteFile) -> list[StoredFile]:
        owner, folder = command.principal.subject, f"{command.path}/"
        async with self._unit.reading() as connection:
            file = await find_file(connection, owner, command.path)
            inside = (
                await range_of_files(connection, owner, folder, successor(folder), _BATCH + 1)
                if command.recursive
                else []
            )
        return ([file] if file else []) + inside

    async def _find(self, principal: Principal, owner: str | None, path: str) -> StoredFile:
        async with self._unit.reading() as connection:
            whose = await owner_for(connection, principal, owner, path)
            file = await find_file(connection, whose, path)
        if file is None:
            raise NotFoundError(f"the file {path} does not exist")
        return file
