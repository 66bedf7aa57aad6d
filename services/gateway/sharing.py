"""Grants, as users ask for them: the scheduler keeps those on jobs, storage those on folders."""

from __future__ import annotations

from datetime import datetime

from contracts.commands import Command, ShareFolder, ShareWorkload, UnshareFolder, UnshareWorkload
from contracts.errors import InvalidError, NotFoundError
from contracts.grants import (
    FolderGrants,
    FoldersSharedWith,
    Grant,
    GrantPage,
    Right,
    WorkloadGrants,
    WorkloadsSharedWith,
)
from services.chassis.bus import Bus

from .callers import Caller
from .identity.rights import require_first_hand

__all__ = ["SharingService"]

_JOBS, _FOLDERS = "j", "f"
"""How the cursors of the list of both kinds begin."""


class SharingService:
    """Shares, shows and takes back for one caller. None means: the service is away, the command is kept."""

    def __init__(self, *, bus: Bus, caller: Caller, wait: float) -> None:
        self._bus = bus
        self._caller = caller
        self._wait = wait

    # --- jobs ---------------------------------------------------------------------------------------------------

    async def share_job(self, job_id: str, grantee: str, right: Right, expires_at: datetime | None) -> Grant | None:
        """Grant a right on a job."""
        require_first_hand(self._caller, "share")
        principal = self._caller.principal
        return await self._order(
            ShareWorkload(workload_id=job_id, principal=principal, grantee=grantee, right=right, expires_at=expires_at)
        )

    async def unshare_job(self, job_id: str, grantee: str) -> bool:
        """Take a grant on a job back; false: it will be done later."""
        command = UnshareWorkload(workload_id=job_id, principal=self._caller.principal, grantee=grantee)
        return await self._order(command) is not None

    async def job_grants(self, job_id: str, *, limit: int, cursor: str | None) -> GrantPage:
        """Return some grants on a job, newest first."""
        query = WorkloadGrants(principal=self._caller.principal, workload_id=job_id, limit=limit, cursor=cursor)
        page: GrantPage = await self._bus.ask(query)
        return page

    async def job_grant(self, job_id: str, grantee: str) -> Grant:
        """Return one grant on a job."""
        query = WorkloadGrants(principal=self._caller.principal, workload_id=job_id, grantee=grantee)
        return _only(await self._bus.ask(query), grantee)

    # --- folders ------------------------------------------------------------------------------------------------

    async def share_folder(
        self, path: str, owner: str | None, grantee: str, right: Right, expires_at: datetime | None
    ) -> Grant | None:
        """Grant a right on a folder."""
        require_first_hand(self._caller, "share")
        principal = self._caller.principal
        return await self._order(
            ShareFolder(
                principal=principal, path=path, owner=owner, grantee=grantee, right=right, expires_at=expires_at
            )
        )

    async def unshare_folder(self, path: str, owner: str | None, grantee: str) -> bool:
        """Take a grant on a folder back; false: it will be done later."""
        command = UnshareFolder(principal=self._caller.principal, path=path, owner=owner, grantee=grantee)
        return await self._order(command) is not None

    async def folder_grants(self, path: str | None, owner: str | None, *, limit: int, cursor: str | None) -> GrantPage:
        """Return some grants on a folder, or on all folders of an owner, newest first."""
        query = FolderGrants(principal=self._caller.principal, path=path, owner=owner, limit=limit, cursor=cursor)
        page: GrantPage = await self._bus.ask(query)
        return page

    async def folder_grant(self, path: str, owner: str | None, grantee: str) -> Grant:
        """Return one grant on a folder."""
        query = FolderGrants(principal=self._caller.principal, path=path, owner=owner, grantee=grantee)
        return _only(await self._bus.ask(query), grantee)

    # --- both ---------------------------------------------------------------------------------------------------

    async def received(self, kind: str | None, *, limit: int, cursor: str | None) -> GrantPage:
        """Return some of what others share with the caller: jobs, then folders, each newest first."""
        part, place = _read_cursor(cursor, kind)
        principal = self._caller.principal
        ask = WorkloadsSharedWith if part == _JOBS else FoldersSharedWith
        page: GrantPage = await self._bus.ask(ask(principal=principal, limit=limit, cursor=place))
        if page.next_cursor is not None:
            return page.model_copy(update={"next_cursor": part + page.next_cursor})
        if part == _FOLDERS or kind is not None:
            return page
        if len(page.items) == limit:
            return page.model_copy(update={"next_cursor": _FOLDERS})
        rest: GrantPage = await self._bus.ask(FoldersSharedWith(principal=principal, limit=limit - len(page.items)))
        more = None if rest.next_cursor is None else _FOLDERS + rest.next_cursor
        return GrantPage(items=[*page.items, *rest.items], next_cursor=more)

    async def _order(self, command: Command) -> Grant | None:
        grant: Grant | None = await self._bus.order(command, self._caller.context, wait=self._wait, answer=Grant)
        return grant


def _only(page: GrantPage, grantee: str) -> Grant:
    if not page.items:
        raise NotFoundError(f"it is not shared with {grantee}")
    return page.items[0]


def _read_cursor(cursor: str | None, kind: str | None) -> tuple[str, str | None]:
    """Return which kind of things the page begins with, and where."""
    if cursor is None:
        return (_FOLDERS if kind == "folder" else _JOBS), None
    part, place = cursor[:1], cursor[1:] or None
    if part not in {_JOBS, _FOLDERS} or (part == _JOBS and (place is None or kind == "folder")):
        raise InvalidError.of("cursor", "this is no cursor of this list")
    if part == _FOLDERS and kind == "job":
        raise InvalidError.of("cursor", "this is no cursor of this list")
    return part, place
