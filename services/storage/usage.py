"""What each owner's files come to, counted in the transaction that changes them; and what is on its way."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.shelves import Amount, OwnersUsage
from services.chassis.unit import upsert_for

from .listing import successor
from .tables import UPLOADS, USAGE

__all__ = ["add_usage", "owners_page", "under_way", "usage_of"]


async def add_usage(connection: AsyncConnection, owner: str, files: int, size: int) -> None:
    """Count what came, or went if it is negative; until the commit nobody else counts the owner's."""
    row = upsert_for(connection)(USAGE).values({"owner": owner, "files": files, "size": size})
    counted = {"files": USAGE.c.files + files, "size": USAGE.c.size + size}
    await connection.execute(row.on_conflict_do_update(index_elements=["owner"], set_=counted))


async def usage_of(connection: AsyncConnection, owner: str) -> Amount:
    """Return what an owner's files come to."""
    row = (await connection.execute(select(USAGE).where(USAGE.c.owner == owner))).first()
    return Amount(files=row.files, size=row.size) if row else Amount()


async def owners_page(connection: AsyncConnection, after: str, limit: int) -> list[OwnersUsage]:
    """Return what some owners' files come to, by owner."""
    statement = select(USAGE).where(USAGE.c.owner > after).order_by(USAGE.c.owner).limit(limit)
    return [OwnersUsage(owner=row.owner, files=row.files, size=row.size) for row in await connection.execute(statement)]


async def under_way(
    connection: AsyncConnection,
    owner: str,
    folder: str,
    at: datetime,
    *,
    but: str | None = None,
    instead: str | None = None,
) -> Amount:
    """Return what is on its way into a folder, which ends with `/`.

    Without what the upload *but* brings, and what comes to the path *instead* of which something else is to come.
    """
    table = UPLOADS.c
    statement = select(func.count(), func.coalesce(func.sum(table.size), 0)).where(
        table.owner == owner, table.doomed.is_(False), table.expires_at > at, table.path >= folder
    )
    if (end := successor(folder)) is not None:
        statement = statement.where(table.path < end)
    if but is not None:
        statement = statement.where(table.key != but)
    if instead is not None:
        statement = statement.where(table.path != instead)
    files, size = (await connection.execute(statement)).one()
    return Amount(files=int(files), size=int(size))
