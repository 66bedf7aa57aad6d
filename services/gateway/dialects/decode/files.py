"""A user's files as decode's clients see them: five areas that are always there, and whatever else the user has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import humanize

from contracts.errors import InvalidError, NotFoundError
from contracts.files import FileRecord
from contracts.spec import clean_path
from contracts.staging import JOBS_FOLDER
from services.gateway.files import FileService

from .models import FileInfo, FileTypes

__all__ = ["NotEmptyError", "Place", "UserFiles", "file_info", "folder_info", "read_place"]

_PAGE = 1000


class NotEmptyError(Exception):
    """Something lies in a folder."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path that somebody wrote."""

    path: str
    """Without a `/` at its end; empty for the root."""
    is_folder: bool
    """Whether it was written as a folder's."""


def read_place(text: str) -> Place:
    """Return what a path names: double slashes are one; raises `ValueError` for one that leads out."""
    plain = text.strip("/")
    return Place(clean_path(plain) if plain else "", is_folder=not plain or text.endswith("/"))


def file_info(record: FileRecord) -> FileInfo:
    """Show a file."""
    return FileInfo(path=record.path, type=FileTypes.FILE, size=humanize.naturalsize(record.size))


def folder_info(path: str) -> FileInfo:
    """Show a folder."""
    return FileInfo(path=f"{path}/", type=FileTypes.DIRECTORY, size="")


class UserFiles:
    """Lists, deletes and renames for one user."""

    def __init__(self, files: FileService, areas: Iterable[str]) -> None:
        self._files = files
        self._areas = frozenset(areas)

    def is_fixed(self, place: Place) -> bool:
        """Say whether a place is there whatever anybody does."""
        return not place.path or place.path in self._areas

    async def listing(self, place: Place, *, show_dirs: bool, recursive: bool) -> list[FileInfo]:
        """Return what lies in a folder, by path; raises `NotFoundError`."""
        start = f"{place.path}/" if place.path else ""
        files: list[FileRecord] = []
        folders = set() if place.path else set(self._areas)
        async for page_files, page_folders in self._pages(start, recursive=recursive):
            files += page_files
            folders |= page_folders
        if recursive:
            folders |= {above for file in files for above in _folders_between(start, file.path)}
        if not (files or folders or self.is_fixed(place)):
            await self._files.folder(place.path)
        found = [file_info(file) for file in files]
        found += [folder_info(folder) for folder in folders] if show_dirs else []
        return sorted(found, key=lambda info: info.path)

    async def _pages(self, start: str, *, recursive: bool) -> AsyncIterator[tuple[list[FileRecord], set[str]]]:
        cursor: str | None = None
        while True:
            page = await self._files.page(prefix=start, recursive=recursive, limit=_PAGE, cursor=cursor, owner=None)
            folders = {folder.path.rstrip("/") for folder in page.folders} - {start.rstrip("/")}
            yield (
                [file for file in page.items if not _is_of_jobs(file.path)],
                {folder for folder in folders if not _is_of_jobs(folder)},
            )
            cursor = page.next_cursor
            if cursor is None:
                return

    async def is_folder(self, place: Place) -> bool:
        """Say whether there is such a folder."""
        if self.is_fixed(place):
            return True
        try:
            await self._files.folder(place.path)
        except NotFoundError:
            return False
        return True

    async def rename(self, place: Place, to: Place) -> FileInfo:
        """Give a file, or a folder in which nothing lies, another name; what was there is overwritten.

        Raises `NotFoundError`, and `NotEmptyError` for a folder in which something lies.
        """
        if to.is_folder and not place.is_folder:
            raise InvalidError("path: ends with / but is to be a file's")
        if not place.is_folder and await self._files.exists(place.path):
            await self._files.move(place.path, to.path, replace=True)
            return file_info(await self._files.record(to.path, None))
        if (await self._files.folder(place.path)).files:
            raise NotEmptyError
        await self._files.move(place.path, to.path, folder=True)
        return folder_info(to.path)

    async def delete(self, place: Place) -> None:
        """Delete a file, or a folder with all that is in it; what is not there need not be deleted."""
        if place.path:
            await self._delete(place.path)
            return
        inside = await self.listing(place, show_dirs=True, recursive=False)
        await asyncio.gather(*(self._delete(info.path.rstrip("/")) for info in inside))

    async def _delete(self, path: str) -> None:
        try:
            await self._files.delete(path, recursive=True)
        except NotFoundError:
            return


def _is_of_jobs(path: str) -> bool:
    """Say whether a path is where jobs of our own API leave what they leave."""
    return path == JOBS_FOLDER or path.startswith(f"{JOBS_FOLDER}/")


def _folders_between(start: str, path: str) -> Iterable[str]:
    parts = path[len(start) :].split("/")[:-1]
    return (start + "/".join(parts[:end]) for end in range(1, len(parts) + 1))
