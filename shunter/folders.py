"""Folders, and other names for files: a client's `folders`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.files import FolderRecord, Moved

from .calls import folders as calls

__all__ = ["AsyncFolders", "Folders"]


class Folders:
    """Our folders: make them, look what they hold, move them and files."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        self._send = send

    def get(self, path: str, *, owner: str | None = None) -> FolderRecord:
        """Return what a folder holds: ours, or one that *owner* shares."""
        found: FolderRecord = self._send(calls.get_folder(path, owner=owner))
        return found

    def make(self, path: str) -> bool:
        """Let there be a folder, also while nothing is in it; false: storage is away, it will be done later."""
        done: bool = self._send(calls.make_folder(path))
        return done

    def move(self, path: str, to: str, *, folder: bool = False, replace: bool = False) -> Moved | None:
        """Give a file or a folder another name; none: storage is away, the command is kept."""
        moved: Moved | None = self._send(calls.move_file(path, to, folder=folder, replace=replace))
        return moved


class AsyncFolders:
    """Our folders: make them, look what they hold, move them and files."""

    def __init__(self, send: Callable[[Any], Awaitable[Any]]) -> None:
        self._send = send

    async def get(self, path: str, *, owner: str | None = None) -> FolderRecord:
        """Return what a folder holds: ours, or one that *owner* shares."""
        found: FolderRecord = await self._send(calls.get_folder(path, owner=owner))
        return found

    async def make(self, path: str) -> bool:
        """Let there be a folder, also while nothing is in it; false: storage is away, it will be done later."""
        done: bool = await self._send(calls.make_folder(path))
        return done

    async def move(self, path: str, to: str, *, folder: bool = False, replace: bool = False) -> Moved | None:
        """Give a file or a folder another name; none: storage is away, the command is kept."""
        moved: Moved | None = await self._send(calls.move_file(path, to, folder=folder, replace=replace))
        return moved
