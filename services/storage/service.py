"""Files as their owners see them: look, list, fetch, delete, and freeze for a job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePosixPath

from contracts.commands import DeleteFile
from contracts.envelope import Context
from contracts.errors import FieldError, InvalidError, NotFoundError
from contracts.files import Deleted, DownloadUrl, FileRecord
from contracts.model import now
from contracts.principals import Principal
from contracts.queries import DownloadFile, FilePage, FreezeInputs, Frozen, GetFile, ListFiles
from contracts.runs import FrozenInput
from services.chassis.policy import longest_url
from services.chassis.unit import UnitOfWork

from .folders import shelf
from .listing import Listing, list_page, successor
from .objects import Objects
from .removing import drop_folders, remove_all
from .rights import owner_for, ranges_for, within
from .store import find_file, find_files, range_of_files
from .stored import Reason, StoredFile
from .superseded import count_caused

__all__ = ["FileService"]

_BATCH = 1000
"""Files deleted in one transaction; a folder may hold any number."""

_NAMED = 20
"""Missing inputs that are named in one refusal."""


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

    async def freeze(self, query: FreezeInputs) -> Frozen:
        """Resolve inputs to the objects that hold their bytes now; refuses those that are not there, by their place."""
        sources = [item.source for item in query.inputs]
        async with self._unit.reading() as connection:
            found = await find_files(connection, query.principal.subject, sources)
        missing = [number for number, source in enumerate(sources) if source not in found]
        if missing:
            raise _missing(missing, sources)
        return Frozen(inputs=[_frozen(found[item.source], item.target) for item in query.inputs])

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


def _frozen(file: StoredFile, target: str) -> FrozenInput:
    return FrozenInput(source=file.path, target=target, key=file.key, size=file.size, sha256=file.sha256)


def _missing(numbers: list[int], sources: list[str]) -> InvalidError:
    errors = [
        FieldError(field=f"inputs.{number}.source", message=f"there is no file {sources[number]}")
        for number in numbers[:_NAMED]
    ]
    return InvalidError("; ".join(f"{error.field}: {error.message}" for error in errors[:3]), errors=errors)
