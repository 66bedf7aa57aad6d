"""Rules of folders, usage and versions, as users ask for them: storage knows them."""

from __future__ import annotations

from contracts.file_commands import (
    DropFolderRule,
    PurgeVersions,
    RestoreFile,
    RestoreVersion,
    SetFolderRule,
)
from contracts.file_queries import GetStorageUsage, ListFolderRules, ListOwners, ListVersions
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
from services.chassis.bus import Bus

from .callers import Caller

__all__ = ["ShelfService"]


class ShelfService:
    """Bounds folders and brings back what files were, for one caller. None: storage is away, the command is kept."""

    def __init__(self, *, bus: Bus, caller: Caller, wait: float) -> None:
        self._bus = bus
        self._caller = caller
        self._wait = wait

    async def rules(self, owner: str | None) -> FolderRulePage:
        """Return all rules of an owner's folders."""
        page: FolderRulePage = await self._bus.ask(ListFolderRules(principal=self._caller.principal, owner=owner))
        return page

    async def set_rule(self, folder: str | None, owner: str | None, rule: FolderRuleSpec) -> FolderRule | None:
        """Let a rule hold for a folder, or for everything."""
        command = SetFolderRule(principal=self._caller.principal, owner=owner, path=folder, rule=rule)
        found: FolderRule | None = await self._bus.order(
            command, self._caller.context, wait=self._wait, answer=FolderRule
        )
        return found

    async def drop_rule(self, folder: str | None, owner: str | None) -> bool:
        """Let a rule hold no more; false: it will be done later."""
        command = DropFolderRule(principal=self._caller.principal, owner=owner, path=folder)
        done = await self._bus.order(command, self._caller.context, wait=self._wait, answer=FolderRule)
        return done is not None

    async def usage(self, owner: str | None) -> StorageUsage:
        """Return what an owner's files come to."""
        found: StorageUsage = await self._bus.ask(GetStorageUsage(principal=self._caller.principal, owner=owner))
        return found

    async def owners(self, *, limit: int, cursor: str | None) -> OwnersPage:
        """Return what everybody's files come to."""
        page: OwnersPage = await self._bus.ask(ListOwners(principal=self._caller.principal, limit=limit, cursor=cursor))
        return page

    async def versions(
        self, path: str | None, reasons: list[Gone], owner: str | None, *, limit: int, cursor: str | None
    ) -> VersionPage:
        """Return some of what files were before, those that went last first."""
        query = ListVersions(
            principal=self._caller.principal,
            owner=owner,
            path=path,
            reasons=reasons or list(Gone),
            limit=limit,
            cursor=cursor,
        )
        page: VersionPage = await self._bus.ask(query)
        return page

    async def restore_version(self, version: str, to: str | None) -> Restored | None:
        """Let a file be as it was, under its own name or another one."""
        command = RestoreVersion(principal=self._caller.principal, which=version, to=to)
        found: Restored | None = await self._bus.order(command, self._caller.context, wait=self._wait, answer=Restored)
        return found

    async def restore(self, path: str, *, folder: bool) -> Restored | None:
        """Bring a file or a folder back from the trash."""
        command = RestoreFile(principal=self._caller.principal, path=path, folder=folder)
        found: Restored | None = await self._bus.order(command, self._caller.context, wait=self._wait, answer=Restored)
        return found

    async def purge(self, path: str | None = None, version: str | None = None) -> Purged | None:
        """Do away with what is in the trash, or with one version."""
        command = PurgeVersions(principal=self._caller.principal, path=path, which=version)
        found: Purged | None = await self._bus.order(command, self._caller.context, wait=self._wait, answer=Purged)
        return found
