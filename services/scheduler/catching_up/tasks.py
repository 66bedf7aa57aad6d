"""Folds what was told of the tasks of arrays into the tables of arrays.

When a bundle came to its end is not told. It stays open, and what becomes of those that say nothing becomes of it: its
last report is taken again, or it is looked up on its backend.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import update

from contracts.events import WorkloadTasksMoved
from contracts.ranges import Ranges
from contracts.tasks import TaskGroup, TaskState
from services.chassis.unit import Work
from services.scheduler.arrays import store
from services.scheduler.arrays.bundling import array_of, room_for
from services.scheduler.arrays.closing import put_back, write_told
from services.scheduler.arrays.handing import make_bundle, withdraw
from services.scheduler.backends.base import Portions
from services.scheduler.records import Record
from services.scheduler.store import find
from services.scheduler.tables import workloads

__all__ = ["move"]

_MANY = 200_000
"""More tasks than an array has."""

log = structlog.get_logger(__name__)


async def move(work: Work, event: WorkloadTasksMoved) -> None:
    """Move tasks, unless the row of their array has this batch."""
    row = await find(work.connection, event.workload_id)
    if row is None or row["tasks"] is None or row["tasks"]["batch"] >= event.batch:
        return
    if row["tasks"]["batch"] + 1 != event.batch:
        log.error("table.gap", workload=event.workload_id, has=row["tasks"]["batch"], event=event.batch)
    if event.tasks:
        await _fold_facts(work, row, event)
    handed_out = [group for group in event.groups if group.state is TaskState.QUEUED]
    if handed_out:
        await _hand_out(work, row, handed_out, event)
    for group in event.groups:
        if group.state is TaskState.PENDING:
            wanted = Ranges.parse(group.indices)
            in_hand = await store.tasks_in_hand(work.connection, row["id"], event.bundle)
            await put_back(work.connection, [task for task in in_hand if task["index"] in wanted])
        if group.state is TaskState.CANCELED:
            await withdraw(work.connection, row, Ranges.parse(group.indices), event.at)
    if event.canceling:
        await _note_canceling(work, row, Ranges.parse(event.canceling))
    counts = event.counts.model_dump()
    await work.connection.execute(update(workloads).where(workloads.c.id == row["id"]).values(tasks=counts))


async def _fold_facts(work: Work, row: Record, event: WorkloadTasksMoved) -> None:
    in_hand = await store.tasks_in_hand(work.connection, row["id"], event.bundle)
    await write_told(work.connection, row, in_hand, event.tasks)
    if event.bundle is None:
        return
    room = {"allocation": event.allocation.model_dump(mode="json")} if event.allocation else {}
    await store.change_bundle(work.connection, row["id"], event.bundle, sent=True, seen_at=event.at, **room)


async def _hand_out(work: Work, row: Record, groups: Sequence[TaskGroup], event: WorkloadTasksMoved) -> None:
    """Note bundles as those were that were handed out then: one for each group, in their order."""
    connection, spec = work.connection, array_of(row)
    numbers, kept = spec.tasks, await store.find_array(connection, row["id"])
    busy = {task["bundle"] for task in await store.tasks_in_hand(connection, row["id"])}
    under_way = [one["share"] for one in await store.open_bundles(connection, row["id"]) if one["bundle"] in busy]
    shares = list(room_for(spec, numbers, under_way, Portions()).shares)
    again = {task["index"]: task for task in await store.due_tasks(connection, row["id"], None, _MANY)}
    number, position = kept["bundle"], kept["position"]
    for group in groups:
        number += 1
        part: list[Record] = []
        for index in Ranges.parse(group.indices):
            place = numbers.place_of(index)
            if index in again:
                part.append(again[index])
            elif place is not None and place >= kept["position"]:
                part.append({"workload_id": row["id"], "index": index})
                position = max(position, place + 1)
        share = None if spec.max_running is None else shares.pop(0) if shares else 1
        if part:
            await make_bundle(connection, row, number, share, part)
        # Handed over or not: what no runner knows of is found out, and nothing is handed over twice.
        await store.change_bundle(connection, row["id"], number, sent=True, seen_at=event.at, handed_at=event.at)
    await store.change_array(connection, row["id"], position=position, bundle=number)


async def _note_canceling(work: Work, row: Record, wanted: Ranges) -> None:
    running = [task for task in await store.tasks_in_hand(work.connection, row["id"]) if task["index"] in wanted]
    for task in running:
        task["canceling"] = True
    await store.change_tasks(work.connection, running)
