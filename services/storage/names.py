"""Names: folders are made, files and trees get other names."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Context
from contracts.errors import ConflictError, InvalidError, NotFoundError
from contracts.file_commands import MakeFolder, MoveFile
from contracts.file_events import FileMoved, FolderMade, FolderMoved
from contracts.file_queries import GetFolder
from contracts.files import Folder, FolderRecord, Moved
from contracts.model import now
from services.chassis.unit import UnitOfWork, Work

from .folders import content_of, is_made, make_folder
from .keys import require_own_path
from .listing import successor
from .moving import move_one, move_tree, require_short
from .removing import drop_folders, remove_all
from .rights import owner_for
from .rules import Quotas
from .store import find_file, range_of_files
from .stored import Reason, StoredFile

__all__ = ["NameService"]


class NameService:
    """Makes folders and moves what is theirs for owners; *areas* are folders that everybody has."""

    def __init__(self, *, unit: UnitOfWork, quotas: Quotas, areas: Sequence[str]) -> None:
        self._unit = unit
        self._quotas = quotas
        self._areas = frozenset(areas)

    async def folder(self, query: GetFolder) -> FolderRecord:
        """Return what a folder holds."""
        folder = f"{query.path}/"
        async with self._unit.reading() as connection:
            owner = await owner_for(connection, query.principal, query.owner, folder)
            content = await content_of(connection, owner, folder)
            made = folder in self._areas or await is_made(connection, owner, folder)
        if not made and not content.files:
            raise NotFoundError(f"the folder {query.path} does not exist")
        return FolderRecord(path=folder, owner=owner, files=content.files, size=content.size, made=made)

    async def make(self, command: MakeFolder, *, cause: str, context: Context) -> Folder:
        """Make a folder."""
        require_own_path(command.path)
        owner, at = command.principal.subject, now()
        async with self._unit.handling(cause, context) as work:
            if work is None:
                return Folder(path=f"{command.path}/")
            if await find_file(work.connection, owner, command.path):
                raise ConflictError(f"{command.path} is a file")
            if await make_folder(work.connection, owner, f"{command.path}/", at):
                work.send(FolderMade(owner=owner, path=command.path, at=at))
        return Folder(path=f"{command.path}/")

    async def move(self, command: MoveFile, *, cause: str, context: Context) -> Moved:
        """Give a file or a folder another name."""
        require_own_path(command.to)
        self._require_sense(command)
        try:
            async with self._unit.handling(cause, context) as work:
                if work is None:
                    return await self._as_it_is(command)
                if command.folder:
                    return await self._move_folder(work, command, cause)
                return await self._move_file(work, command, cause)
        except IntegrityError:
            # A file came under the name since we looked; only PostgreSQL lets two write at once.
            raise ConflictError(f"{command.to} was taken at this very moment; nothing was moved") from None

    def _require_sense(self, command: MoveFile) -> None:
        if not command.folder:
            return
        source, to = f"{command.path}/", f"{command.to}/"
        if source in self._areas:
            raise ConflictError(f"{source} is a folder that every user has; it keeps its name")
        if source != to and (to.startswith(source) or source.startswith(to)):
            raise InvalidError.of("to", "a folder cannot be moved into itself, nor over one that it lies in")

    async def _move_file(self, work: Work, command: MoveFile, cause: str) -> Moved:
        owner, connection = command.principal.subject, work.connection
        file = await find_file(connection, owner, command.path)
        if file is None:
            raise NotFoundError(f"there is no file {command.path}")
        if command.to == command.path:
            return Moved(path=command.to, moved=0)
        if f"{command.to}/" in self._areas or await _is_folder(connection, owner, f"{command.to}/"):
            raise ConflictError(f"{command.to} is a folder")
        if (there := await find_file(connection, owner, command.to)) is not None:
            _require_leave(command)
            await remove_all(work, [there], cause, Reason.OVERWRITTEN)
        await self._quotas.require_to_move(connection, owner, command.path, command.to, file.size)
        await move_one(connection, owner, command.path, command.to)
        work.send(_moved(file, command.to))
        return Moved(path=command.to, moved=1)

    async def _move_folder(self, work: Work, command: MoveFile, cause: str) -> Moved:
        owner, connection = command.principal.subject, work.connection
        source, to = f"{command.path}/", f"{command.to}/"
        if not await _is_folder(connection, owner, source):
            raise NotFoundError(f"there is no folder {command.path}")
        if source == to:
            return Moved(path=to, moved=0)
        if await find_file(connection, owner, command.to):
            raise ConflictError(f"{command.to} is a file")
        await require_short(connection, owner, source, to)
        await self._clear(work, command, cause)
        size = (await content_of(connection, owner, source)).size
        await self._quotas.require_to_move(connection, owner, source, to, size)
        files, _ = await move_tree(connection, owner, source, to)
        work.send(FolderMoved(owner=owner, path=command.path, to=command.to, files=files, at=now()))
        return Moved(path=to, moved=files)

    async def _clear(self, work: Work, command: MoveFile, cause: str) -> None:
        """Make room for a folder: what is there must be empty, or may be replaced."""
        owner, to = command.principal.subject, f"{command.to}/"
        while there := await range_of_files(work.connection, owner, to, successor(to), 1000):
            _require_leave(command)
            await remove_all(work, there, cause, Reason.OVERWRITTEN)
        if set(await drop_folders(work, owner, to)) - {to}:
            _require_leave(command)

    async def _as_it_is(self, command: MoveFile) -> Moved:
        """Answer a command that was handled before."""
        owner = command.principal.subject
        if not command.folder:
            return Moved(path=command.to, moved=1)
        async with self._unit.reading() as connection:
            content = await content_of(connection, owner, f"{command.to}/")
        return Moved(path=f"{command.to}/", moved=content.files)


async def _is_folder(connection: AsyncConnection, owner: str, folder: str) -> bool:
    return await is_made(connection, owner, folder) or bool(
        await range_of_files(connection, owner, folder, successor(folder), 1)
    )


def _require_leave(command: MoveFile) -> None:
    if not command.replace:
        raise ConflictError(f"{command.to} is there already; say `replace` to overwrite it")


def _moved(file: StoredFile, to: str) -> FileMoved:
    return FileMoved(owner=file.owner, path=file.path, to=to, key=file.key, upload=file.upload, at=now())
