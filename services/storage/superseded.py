"""Statements on what files were before: versions, trash, and bytes that only jobs may still fetch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import and_, delete, func, insert, or_, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .stored import Reason, StoredFile
from .tables import FILES, SUPERSEDED

__all__ = ["count_caused", "doom_superseded", "due_superseded", "forget_superseded", "supersede"]

_AT_ONCE = 500
"""Rows in one statement; databases limit the number of parameters."""


async def supersede(
    connection: AsyncConnection, files: Sequence[StoredFile], at: datetime, cause: str, reason: Reason
) -> None:
    """Keep what files were, for as long as *reason* says."""
    if files:
        rows = [{**asdict(file), "superseded_at": at, "cause": cause, "reason": reason.value} for file in files]
        await connection.execute(insert(SUPERSEDED), rows)


async def count_caused(connection: AsyncConnection, cause: str) -> int:
    """Return how many files a message superseded."""
    statement = select(func.count()).select_from(SUPERSEDED).where(SUPERSEDED.c.cause == cause)
    return int((await connection.execute(statement)).scalar_one())


async def due_superseded(connection: AsyncConnection, before: Mapping[Reason, datetime], limit: int) -> list[str]:
    """Return uploads whose files were superseded before the moment of their reason, or that are doomed."""
    table = SUPERSEDED.c
    due = [and_(table.reason == reason.value, table.superseded_at <= moment) for reason, moment in before.items()]
    statement = select(table.upload).where(or_(table.doomed, *due)).order_by(table.superseded_at).limit(limit)
    return list((await connection.execute(statement)).scalars())


async def doom_superseded(connection: AsyncConnection, uploads: Sequence[str]) -> list[str]:
    """Decide that nothing brings these back, and return the objects that nothing else names."""
    keys: set[str] = set()
    for start in range(0, len(uploads), _AT_ONCE):
        some = SUPERSEDED.c.upload.in_(uploads[start : start + _AT_ONCE])
        doomed = update(SUPERSEDED).where(some).values(doomed=True).returning(SUPERSEDED.c.key)
        keys |= set((await connection.execute(doomed)).scalars())
    return sorted(keys - await _named(connection, sorted(keys)))


async def _named(connection: AsyncConnection, keys: Sequence[str]) -> set[str]:
    """Return those objects that a file names, or a version that may be brought back."""
    found: set[str] = set()
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        # In one statement: what is deleted or brought back meanwhile goes from one table to the other.
        named = union(
            select(FILES.c.key).where(FILES.c.key.in_(some)),
            select(SUPERSEDED.c.key).where(SUPERSEDED.c.key.in_(some), SUPERSEDED.c.doomed.is_(False)),
        )
        found |= set((await connection.execute(named)).scalars())
    return found


async def forget_superseded(connection: AsyncConnection, uploads: Sequence[str]) -> None:
    """Forget what is doomed and whose objects are gone."""
    for start in range(0, len(uploads), _AT_ONCE):
        some = SUPERSEDED.c.upload.in_(uploads[start : start + _AT_ONCE])
        await connection.execute(delete(SUPERSEDED).where(some))
