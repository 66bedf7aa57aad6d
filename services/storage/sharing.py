"""Sharing a folder: owners let others read it or write into it, and take that back."""

from __future__ import annotations

from contracts.commands import ShareFolder, UnshareFolder
from contracts.envelope import Context
from contracts.errors import NotFoundError
from contracts.events import FolderShared, FolderUnshared
from contracts.grants import FolderGrants, FoldersSharedWith, Grant, GrantPage, folder_resource
from contracts.model import now
from services.chassis.grants import renewed, require_found
from services.chassis.policy import grantees_of, power_over
from services.chassis.unit import UnitOfWork

from .rights import GRANTS, require_on_folder

__all__ = ["SharingService"]


class SharingService:
    """Keeps and tells who may do what with a folder besides its owner. The folder need not hold anything yet."""

    def __init__(self, *, unit: UnitOfWork) -> None:
        self._unit = unit

    async def share(self, command: ShareFolder, *, cause: str, context: Context) -> Grant:
        """Grant a right; the same again changes nothing, another one replaces it."""
        owner = require_on_folder(command.principal, command.owner, command.path)
        async with self._unit.handling(cause, context) as work:
            if work is None:
                return await self._as_it_is(owner, command)
            known = await GRANTS.find(work.connection, owner, command.path, command.grantee)
            grant = renewed(known, command, folder_resource(command.path), owner)
            if grant == known:
                return grant
            if known is None:
                await GRANTS.require_room(work.connection, owner, command.path, grant.created_at)
            await GRANTS.put(work.connection, grant, command.path)
            work.send(FolderShared(owner=owner, path=command.path, grant=grant, at=now()))
            return grant

    async def unshare(self, command: UnshareFolder, *, cause: str, context: Context) -> Grant:
        """Take a grant back; it is over for whoever has it with the commit."""
        owner = require_on_folder(command.principal, command.owner, command.path)
        async with self._unit.handling(cause, context) as work:
            if work is None:
                return await self._as_it_is(owner, command)
            known = await GRANTS.find(work.connection, owner, command.path, command.grantee)
            grant = require_found(known, command.grantee, now())
            await GRANTS.drop(work.connection, owner, command.path, command.grantee)
            work.send(FolderUnshared(owner=owner, path=command.path, grant=grant, at=now()))
            return grant

    async def given(self, query: FolderGrants) -> GrantPage:
        """Return what is granted on folders: all of it to those who may share them, else their own."""
        owner = query.owner or query.principal.subject
        mine = None if power_over(query.principal, owner, None) else grantees_of(query.principal)
        words = mine
        if query.grantee is not None:
            words = [query.grantee] if mine is None or query.grantee in mine else []
        async with self._unit.reading() as connection:
            page = await GRANTS.page_given(
                connection, owner, query.path, grantees=words, at=now(), limit=query.limit, cursor=query.cursor
            )
        if mine is not None and not page.items:
            raise NotFoundError("the user's files do not exist")
        return page

    async def received(self, query: FoldersSharedWith) -> GrantPage:
        """Return what others share with the principal."""
        async with self._unit.reading() as connection:
            return await GRANTS.page_received(
                connection, query.principal, at=now(), limit=query.limit, cursor=query.cursor
            )

    async def _as_it_is(self, owner: str, command: ShareFolder | UnshareFolder) -> Grant:
        """Answer a command that was handled before."""
        async with self._unit.reading() as connection:
            grant = await GRANTS.find(connection, owner, command.path, command.grantee)
        return require_found(grant, command.grantee, now())
