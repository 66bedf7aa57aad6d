"""Who is told by mail of one workload."""

from __future__ import annotations

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.mail import Notify
from services.scheduler.records import Record
from services.scheduler.tables import notices

__all__ = ["find_notice", "notify_of"]


def notify_of(row: RowMapping | Record) -> Notify:
    """Return what somebody asked for, with the owner's address."""
    return Notify.model_validate(row["notify"], extra="ignore")


async def find_notice(connection: AsyncConnection, workload_id: str) -> Notify | None:
    """Return what was asked for with a workload, none if nobody is told of it."""
    statement = select(notices.c.notify).where(notices.c.workload_id == workload_id)
    row = (await connection.execute(statement)).mappings().first()
    return None if row is None else notify_of(row)
