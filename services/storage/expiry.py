"""Files that grow older than a rule lets them grow go to the trash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Context
from contracts.ids import message_id
from contracts.model import now
from services.chassis.unit import UnitOfWork

from .listing import successor
from .removing import remove_all
from .rules import expiring_rules
from .stored import Reason, StoredFile
from .tables import FILES

__all__ = ["expire_files"]

_BATCH = 500


async def expire_files(unit: UnitOfWork, site: Mapping[str, timedelta]) -> int:
    """Let files go by the rules of owners, and by those of the *site* for everybody's folders; returns how many."""
    async with unit.reading() as connection:
        rules = await expiring_rules(connection)
    gone = 0
    for folder, span in site.items():
        gone += await _expire(unit, None, "" if folder == "/" else f"{folder}/", now() - span)
    for rule in rules:
        if rule.expires_after is not None:
            gone += await _expire(
                unit, rule.owner, "" if rule.path is None else f"{rule.path}/", now() - rule.expires_after
            )
    return gone


async def _expire(unit: UnitOfWork, owner: str | None, folder: str, before: datetime) -> int:
    gone = 0
    while True:
        async with unit.reading() as connection:
            due = await _due(connection, owner, folder, before)
        if not due:
            return gone
        async with unit.begin(Context.start("service:storage")) as work:
            await remove_all(work, due, message_id(), Reason.EXPIRED)
        gone += len(due)


async def _due(connection: AsyncConnection, owner: str | None, folder: str, before: datetime) -> list[StoredFile]:
    statement = select(FILES).where(FILES.c.created_at <= before, FILES.c.path >= folder)
    if (end := successor(folder)) is not None:
        statement = statement.where(FILES.c.path < end)
    if owner is not None:
        statement = statement.where(FILES.c.owner == owner)
    rows = await connection.execute(statement.order_by(FILES.c.created_at).limit(_BATCH))
    return [StoredFile.from_row(row) for row in rows]
