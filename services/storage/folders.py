"""Folders: those that were made, those that every user has, and what is in them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from operator import attrgetter

from sqlalchemy import ColumnElement, Table, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.files import Folder
from services.chassis.unit import upsert_for

from .listing import successor
from .rights import Range
from .store import ranges_of_files
from .stored import StoredFile
from .tables import FILES, FOLDERS

__all__ = ["Content", "below", "content_of", "is_made", "make_folder", "remove_folders", "shelf"]


@dataclass(frozen=True, slots=True)
class Content:
    """What a folder holds, with all folders below."""

    files: int
    size: int


def below(table: Table, owner: str, folder: str) -> tuple[ColumnElement[bool], ...]:
    """Return the condition for rows of all that is in a folder, which ends with `/`; the empty one is everything."""
    end = successor(folder)
    found = (table.c.owner == owner, table.c.path >= folder)
    return found if end is None else (*found, table.c.path < end)


async def make_folder(connection: AsyncConnection, owner: str, folder: str, at: datetime) -> bool:
    """Make a folder, which ends with `/`; says whether there was none that was made."""
    row = {"owner": owner, "path": folder, "created_at": at}
    added = await connection.execute(upsert_for(connection)(FOLDERS).values(row).on_conflict_do_nothing())
    return bool(added.rowcount)


async def remove_folders(connection: AsyncConnection, owner: str, folder: str) -> list[str]:
    """Let a folder that was made, and those below, be there no more; returns which they were."""
    gone = delete(FOLDERS).where(*below(FOLDERS, owner, folder)).returning(FOLDERS.c.path)
    return sorted((await connection.execute(gone)).scalars())


async def is_made(connection: AsyncConnection, owner: str, folder: str) -> bool:
    """Say whether a folder was made, or one below it."""
    statement = select(FOLDERS.c.path).where(*below(FOLDERS, owner, folder)).limit(1)
    return (await connection.execute(statement)).first() is not None


async def content_of(connection: AsyncConnection, owner: str, folder: str) -> Content:
    """Count what is in a folder."""
    counted = select(func.count(), func.coalesce(func.sum(FILES.c.size), 0)).where(*below(FILES, owner, folder))
    files, size = (await connection.execute(counted)).one()
    return Content(int(files), int(size))


async def shelf(
    connection: AsyncConnection, owner: str, ranges: Sequence[Range], limit: int, areas: Iterable[str]
) -> list[StoredFile | Folder]:
    """Return files and folders that were made, or that everybody has, by path; the ranges stand in their order."""
    files = await ranges_of_files(connection, owner, ranges, limit)
    folders = await _made(connection, owner, ranges, limit)
    folders |= {area for area in areas if any(_is_in(area, one) for one in ranges)}
    marks = [Folder(path=path) for path in sorted(folders)]
    return list(islice(heapq.merge(files, marks, key=attrgetter("path")), limit))


async def _made(connection: AsyncConnection, owner: str, ranges: Iterable[Range], limit: int) -> set[str]:
    found: set[str] = set()
    for start, end in ranges:
        if len(found) >= limit:
            break
        statement = select(FOLDERS.c.path).where(FOLDERS.c.owner == owner, FOLDERS.c.path >= start)
        if end is not None:
            statement = statement.where(FOLDERS.c.path < end)
        statement = statement.order_by(FOLDERS.c.path).limit(limit - len(found))
        found |= set((await connection.execute(statement)).scalars())
    return found


def _is_in(path: str, span: Range) -> bool:
    start, end = span
    return path >= start and (end is None or path < end)
