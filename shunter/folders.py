"""Folders, other names for files, and what files were before: a client's `folders`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from contracts.files import FolderRecord, Moved
from contracts.shelves import (
    FolderRule,
    FolderRulePage,
    FolderRuleSpec,
    Gone,
    OwnersPage,
    Purged,
    Restored,
    StorageUsage,
    VersionPage,
)

from .calls import folders as calls

__all__ = ["AsyncFolders", "Folders"]


class Folders:
    """Our folders and their rules, other names for files, what files were before, and what all of it comes to."""

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

    def list_rules(self, *, owner: str | None = None) -> FolderRulePage:
        """Return the rules of our folders, or of *owner*'s."""
        found: FolderRulePage = self._send(calls.list_rules(owner=owner))
        return found

    def set_rule(self, folder: str | None, rule: FolderRuleSpec, *, owner: str | None = None) -> FolderRule | None:
        """Bound a folder, or (none) all that *owner* has; none: storage is away, the command is kept."""
        found: FolderRule | None = self._send(calls.set_rule(folder, rule, owner=owner))
        return found

    def drop_rule(self, folder: str | None, *, owner: str | None = None) -> bool:
        """Bound a folder no more; false: storage is away, it will be done later."""
        done: bool = self._send(calls.drop_rule(folder, owner=owner))
        return done

    def get_usage(self, *, owner: str | None = None) -> StorageUsage:
        """Return what all our files come to, or *owner*'s."""
        found: StorageUsage = self._send(calls.get_usage(owner=owner))
        return found

    def list_owners(self, *, limit: int = 100, cursor: str | None = None) -> OwnersPage:
        """Return a page of what everybody's files come to; for admins and auditors."""
        page: OwnersPage = self._send(calls.list_owners(limit=limit, cursor=cursor))
        return page

    def list_versions(
        self,
        path: str | None = None,
        reasons: Sequence[Gone] = (),
        *,
        owner: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> VersionPage:
        """Return a page of what files were before, those that went last first."""
        page: VersionPage = self._send(calls.list_versions(path, reasons, owner=owner, limit=limit, cursor=cursor))
        return page

    def purge_version(self, version: str) -> bool:
        """Do away with a version; false: storage is away, it will be done later."""
        done: bool = self._send(calls.purge_version(version))
        return done

    def restore_version(self, version: str, to: str | None = None) -> Restored | None:
        """Let a file be as it was, under its own name or another one; none: storage is away, the command is kept."""
        found: Restored | None = self._send(calls.restore_version(version, to))
        return found

    def restore(self, path: str, *, folder: bool = False) -> Restored | None:
        """Bring a file or a folder back from the trash; none: storage is away, the command is kept."""
        found: Restored | None = self._send(calls.restore(path, folder=folder))
        return found

    def empty_trash(self, path: str | None = None) -> Purged | None:
        """Do away with what is in the trash, or with what is there of one folder; none: storage is away."""
        found: Purged | None = self._send(calls.empty_trash(path))
        return found


class AsyncFolders:
    """Our folders and their rules, other names for files, what files were before, and what all of it comes to."""

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

    async def list_rules(self, *, owner: str | None = None) -> FolderRulePage:
        """Return the rules of our folders, or of *owner*'s."""
        found: FolderRulePage = await self._send(calls.list_rules(owner=owner))
        return found

    async def set_rule(
        self, folder: str | None, rule: FolderRuleSpec, *, owner: str | None = None
    ) -> FolderRule | None:
        """Bound a folder, or (none) all that *owner* has; none: storage is away, the command is kept."""
        found: FolderRule | None = await self._send(calls.set_rule(folder, rule, owner=owner))
        return found

    async def drop_rule(self, folder: str | None, *, owner: str | None = None) -> bool:
        """Bound a folder no more; false: storage is away, it will be done later."""
        done: bool = await self._send(calls.drop_rule(folder, owner=owner))
        return done

    async def get_usage(self, *, owner: str | None = None) -> StorageUsage:
        """Return what all our files come to, or *owner*'s."""
        found: StorageUsage = await self._send(calls.get_usage(owner=owner))
        return found

    async def list_owners(self, *, limit: int = 100, cursor: str | None = None) -> OwnersPage:
        """Return a page of what everybody's files come to; for admins and auditors."""
        page: OwnersPage = await self._send(calls.list_owners(limit=limit, cursor=cursor))
        return page

    async def list_versions(
        self,
        path: str | None = None,
        reasons: Sequence[Gone] = (),
        *,
        owner: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> VersionPage:
        """Return a page of what files were before, those that went last first."""
        page: VersionPage = await self._send(
            calls.list_versions(path, reasons, owner=owner, limit=limit, cursor=cursor)
        )
        return page

    async def purge_version(self, version: str) -> bool:
        """Do away with a version; false: storage is away, it will be done later."""
        done: bool = await self._send(calls.purge_version(version))
        return done

    async def restore_version(self, version: str, to: str | None = None) -> Restored | None:
        """Let a file be as it was, under its own name or another one; none: storage is away, the command is kept."""
        found: Restored | None = await self._send(calls.restore_version(version, to))
        return found

    async def restore(self, path: str, *, folder: bool = False) -> Restored | None:
        """Bring a file or a folder back from the trash; none: storage is away, the command is kept."""
        found: Restored | None = await self._send(calls.restore(path, folder=folder))
        return found

    async def empty_trash(self, path: str | None = None) -> Purged | None:
        """Do away with what is in the trash, or with what is there of one folder; none: storage is away."""
        found: Purged | None = await self._send(calls.empty_trash(path))
        return found
