"""Sharing in tests: what the gateway would say to scheduler and storage."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from contracts.commands import Command, ShareFolder, ShareWorkload, UnshareFolder, UnshareWorkload
from contracts.envelope import Context
from contracts.grants import (
    FolderGrants,
    FoldersSharedWith,
    Grant,
    GrantPage,
    Right,
    WorkloadGrants,
    WorkloadsSharedWith,
)
from contracts.principals import Principal
from services.chassis.bus import Bus

__all__ = ["Sharer"]


class Sharer:
    """Somebody who shares, or asks what is shared."""

    def __init__(self, bus: Bus, principal: Principal) -> None:
        self._bus = bus
        self.principal = principal

    async def _order(self, command: Command) -> Grant:
        context = Context.start(f"user:{self.principal.subject}")
        grant: Grant = await self._bus.order(command, context, wait=10, answer=Grant)
        return grant

    async def share(
        self, job: str, grantee: str, right: Right = Right.READ, expires_at: datetime | None = None
    ) -> Grant:
        """Share a job."""
        known: dict[str, Any] = {"workload_id": job, "grantee": grantee, "right": right, "expires_at": expires_at}
        return await self._order(ShareWorkload(principal=self.principal, **known))

    async def unshare(self, job: str, grantee: str) -> Grant:
        """Take it back."""
        return await self._order(UnshareWorkload(principal=self.principal, workload_id=job, grantee=grantee))

    async def share_folder(
        self, path: str, grantee: str, right: Right = Right.READ, *, owner: str | None = None
    ) -> Grant:
        """Share a folder."""
        return await self._order(
            ShareFolder(principal=self.principal, path=path, grantee=grantee, right=right, owner=owner)
        )

    async def unshare_folder(self, path: str, grantee: str) -> Grant:
        """Take it back."""
        return await self._order(UnshareFolder(principal=self.principal, path=path, grantee=grantee))

    async def grants_on(self, job: str) -> list[Grant]:
        """Return who may do what with a job."""
        page: GrantPage = await self._bus.ask(WorkloadGrants(principal=self.principal, workload_id=job))
        return page.items

    async def grants_on_folder(self, path: str | None, owner: str | None = None) -> list[Grant]:
        """Return who may do what with a folder, or with any."""
        page: GrantPage = await self._bus.ask(FolderGrants(principal=self.principal, path=path, owner=owner))
        return page.items

    async def received(self, limit: int = 100) -> list[str]:
        """Return which jobs others share with us, page by page."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            query = WorkloadsSharedWith(principal=self.principal, limit=limit, cursor=cursor)
            page: GrantPage = await self._bus.ask(query)
            found += [grant.job_id or "" for grant in page.items]
            if (cursor := page.next_cursor) is None:
                return found

    async def received_folders(self) -> list[str]:
        """Return which folders others share with us."""
        page: GrantPage = await self._bus.ask(FoldersSharedWith(principal=self.principal))
        return [grant.folder or "" for grant in page.items]
