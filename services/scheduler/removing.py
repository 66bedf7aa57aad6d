"""Workloads that are gone for everybody: their rows stay, for sums and replays."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import WorkloadRemoved
from contracts.model import now
from services.chassis.unit import Work

from .records import Record
from .tables import workloads

__all__ = ["mark_removed", "remove"]


async def remove(work: Work, row: Record) -> Record:
    """Have a workload gone in this transaction and tell it; its name is free."""
    at = now()
    await mark_removed(work.connection, row["id"], at)
    work.send(
        WorkloadRemoved(
            workload_id=row["id"], owner=row["owner"], project=row["project"], revision=row["revision"], at=at
        )
    )
    return {**row, "removed_at": at, "claimed_name": None}


async def mark_removed(connection: AsyncConnection, workload_id: str, at: datetime) -> None:
    """Write down that a workload is gone."""
    this = workloads.c.id == workload_id
    await connection.execute(update(workloads).where(this).values(removed_at=at, claimed_name=None))
