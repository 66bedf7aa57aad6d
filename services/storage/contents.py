"""Folders as a whole: URLs of all that is in one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFoundError
from contracts.transfers import DownloadFolder, FolderContent, StoredAt
from services.chassis.policy import longest_url
from services.chassis.unit import UnitOfWork

from .folders import is_made, shelf
from .listing import Listing, list_page
from .objects import Objects
from .rights import ranges_for, within

__all__ = ["ContentService"]


class ContentService:
    """Answers for whoever may see the files of a folder."""

    def __init__(self, *, unit: UnitOfWork, objects: Objects, areas: Sequence[str] = ()) -> None:
        self._unit = unit
        self._objects = objects
        self._areas = areas

    async def download(self, query: DownloadFolder) -> FolderContent:
        """Return a page of the files of a folder with their URLs."""
        owner = query.owner or query.principal.subject
        listing = Listing(f"{query.path}/" if query.path else "", True, query.limit, query.cursor)
        async with self._unit.reading() as connection:
            ranges = await ranges_for(connection, query.principal, owner, listing.prefix)
            page = await list_page(
                listing,
                lambda start, end, limit: shelf(connection, owner, within(ranges, start, end), limit, self._areas),
            )
            is_there = page.items or page.folders or not query.path or await self._is_made(connection, owner, query)
        if not is_there:
            raise NotFoundError(f"the folder {query.path} does not exist")
        span = timedelta(seconds=max(1.0, longest_url(query.principal, owner, query.expires)))
        urls = await self._objects.presign_gets([file.key for file in page.items], span)
        items = [StoredAt(file=file, url=url) for file, url in zip(page.items, urls, strict=True)]
        folders = [folder.path.removesuffix("/") for folder in page.folders]
        return FolderContent(items=items, folders=folders, next_cursor=page.next_cursor)

    async def _is_made(self, connection: AsyncConnection, owner: str, query: DownloadFolder) -> bool:
        """Say whether there is a folder in which nothing lies; on a later page, where it was seen."""
        folder = f"{query.path}/"
        return query.cursor is not None or folder in self._areas or await is_made(connection, owner, folder)
