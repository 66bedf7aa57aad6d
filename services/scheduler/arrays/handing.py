"""Writes down which tasks are handed out, and which never will be."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.model import now
from contracts.ranges import Ranges
from contracts.states import Reason
from contracts.tasks import TaskGroup, TaskState
from services.scheduler.records import Record

from . import store
from .bundling import array_of

__all__ = ["make_bundle", "withdraw"]

_MANY = 200_000
"""More tasks than an array has."""


async def make_bundle(
    connection: AsyncConnection, row: Record, number: int, share: int | None, part: list[Record]
) -> str:
    """Note a bundle and its tasks: those that had an attempt before are whole rows. Returns its numbers."""
    indices = str(Ranges.of(item["index"] for item in part))
    await store.add_bundle(
        connection,
        {
            "workload_id": row["id"],
            "bundle": number,
            "backend": row["backend"],
            "indices": indices,
            "share": share,
            "sent": False,
            "ended": False,
            "leaving": False,
            "handed_at": None,
            "seen_at": now(),
            "allocation": None,
        },
    )
    again = [item for item in part if "attempt" in item]
    for item in again:
        item.update(state=TaskState.QUEUED.value, attempt=item["attempt"] + 1, bundle=number, not_before=None)
        item.update(started_at=None, finished_at=None, usage=None)
    await store.change_tasks(connection, again)
    await store.add_tasks(connection, [_new(item, number) for item in part if "attempt" not in item])
    return indices


def _new(item: Record, bundle: int) -> Record:
    return {
        **item,
        "state": TaskState.QUEUED.value,
        "attempt": 1,
        "blameless": 0,
        "bundle": bundle,
        "canceling": False,
        "message": "",
    }


async def withdraw(connection: AsyncConnection, row: Record, wanted: Ranges | None, at: datetime) -> list[TaskGroup]:
    """Cancel those of *wanted* (or of all) that wait: for their turn, or for another attempt. Returns which."""
    kept = await store.find_array(connection, row["id"])
    withdrawn = Ranges.parse(kept["withdrawn"]) if kept["withdrawn"] else Ranges(())
    left = array_of(row).tasks.after(kept["position"])
    never = Ranges.of(index for index in (left if wanted is None else left & wanted) if index not in withdrawn)
    if never.runs:
        await store.change_array(connection, row["id"], withdrawn=str(withdrawn | never))
    waiting = await store.due_tasks(connection, row["id"], None, _MANY)
    waiting = [item for item in waiting if wanted is None or item["index"] in wanted]
    for item in waiting:
        item.update(state=TaskState.CANCELED.value, reason=Reason.CANCELED.value, not_before=None, finished_at=at)
    await store.change_tasks(connection, waiting)
    return [
        TaskGroup(indices=str(part), state=TaskState.CANCELED, reason=Reason.CANCELED)
        for part in (never, Ranges.of(item["index"] for item in waiting))
        if part.runs
    ]
