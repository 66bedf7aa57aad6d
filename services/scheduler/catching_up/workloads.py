"""Folds what was told of workloads into their rows, as those who told it had changed them."""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.events import WorkloadAccepted, WorkloadCancelRequested, WorkloadMoved, WorkloadRemoved
from contracts.model import now
from contracts.principals import Principal
from contracts.states import Reason, WorkloadState
from services.chassis.unit import Work, upsert_for
from services.scheduler.admission import admitted_before
from services.scheduler.arrays.store import end_bundles
from services.scheduler.entrance import Arrival, enroll
from services.scheduler.queue.dependencies import cause_of, look_up
from services.scheduler.records import Record, to_workload, with_inputs
from services.scheduler.removing import mark_removed
from services.scheduler.schedules.words import ended, fire_message
from services.scheduler.store import find
from services.scheduler.tables import METADATA, transitions, workloads

__all__ = ["accept", "move", "remove", "request_cancel"]

_INBOX = METADATA.tables["inbox"]

_WAITING = (WorkloadState.ACCEPTED, WorkloadState.HELD)

log = structlog.get_logger(__name__)


async def accept(work: Work, event: WorkloadAccepted) -> None:
    """Write a workload down that was let in; its place in the queue is found when everything is folded."""
    if await find(work.connection, event.workload_id) is not None:
        return
    arrival = Arrival(
        workload_id=event.workload_id,
        principal=Principal(subject=event.owner),
        owner=event.owner,
        admitted=admitted_before(event.spec, event.inputs, event.items_of, event.shared_inputs),
        kind=event.kind,
        request_hash=event.request_hash,
        retry_of=event.retry_of,
        schedule_id=event.schedule_id,
        batch_id=event.batch_id,
        at=event.at,
        number=event.number,
    )
    await enroll(work.connection, [arrival])
    if event.schedule_id:
        # The run that submitted it may do so once more.
        row = {"message_id": fire_message(event.workload_id), "handled_at": now()}
        await work.connection.execute(upsert_for(work.connection)(_INBOX).values(row).on_conflict_do_nothing())


async def request_cancel(work: Work, event: WorkloadCancelRequested) -> None:
    """Note that somebody wants its end."""
    statement = update(workloads).where(workloads.c.id == event.workload_id).values(cancel_requested=True)
    await work.connection.execute(statement)


async def remove(work: Work, event: WorkloadRemoved) -> None:
    """Have a workload gone."""
    await mark_removed(work.connection, event.workload_id, event.at)


async def move(work: Work, event: WorkloadMoved) -> None:
    """Move a workload, unless its row has this move."""
    row = await find(work.connection, event.workload_id)
    if row is None or row["revision"] >= event.revision:
        return
    if row["revision"] + 1 != event.revision:
        log.error("table.gap", workload=event.workload_id, has=row["revision"], event=event.revision)
    values = _after(row, event)
    if event.reason is Reason.DEPENDENCY:
        # Older events do not say it.
        values["cause"] = event.cause or await _cause(work.connection, row)
    await work.connection.execute(update(workloads).where(workloads.c.id == event.workload_id).values(**values))
    await work.connection.execute(insert(transitions).values(**_transition(event, values)))
    if row["tasks"] is not None and (event.new.is_terminal or event.new is WorkloadState.FINISHING):
        await end_bundles(work.connection, event.workload_id)
    if row["schedule_id"] and event.new.is_terminal:
        work.defer(*ended(event.workload_id))


async def _cause(connection: AsyncConnection, row: Record) -> str | None:
    """Find out again why a workload was canceled that waited for others."""
    footing = await look_up(connection, row["id"], to_workload(row).spec.after, None)
    return (await cause_of(connection, row["owner"], *footing.broken))[0] if footing.broken else None


def _transition(event: WorkloadMoved, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "workload_id": event.workload_id,
        "at": event.at,
        **{name: values[name] for name in ("revision", "state", "attempt", "reason", "message")},
        **{name: getattr(event, name) for name in ("backend", "native_id", "exit_code")},
        "allocation": event.allocation.model_dump(mode="json") if event.allocation else None,
        "usage": event.usage.model_dump(mode="json") if event.usage else None,
    }


def _after(row: Record, event: WorkloadMoved) -> dict[str, Any]:
    """Return what a move makes of a row, as `Journey` did when it happened."""
    values: dict[str, Any] = {
        "state": event.new.value,
        "reason": event.reason.value,
        "message": event.message,
        "phase": "",
        "revision": event.revision,
        "updated_at": event.at,
        "attempt": event.attempt,
        "backend": event.backend,
        "native_id": event.native_id,
        "exit_code": event.exit_code,
    }
    if event.attempt != row["attempt"]:
        values |= {"allocation": None, "usage": None, "seen_at": None, "tail": ""}
    for name in ("allocation", "usage"):
        if (part := getattr(event, name)) is not None:
            values[name] = part.model_dump(mode="json")
    for name in ("outputs", "logs"):
        if files := getattr(event, name):
            values[name] = [item.model_dump(mode="json") for item in files]
    if event.inputs is not None:
        values |= with_inputs(row, event.inputs)
    if event.reason is Reason.CANCELED and event.old in _WAITING:
        values["cancel_requested"] = True  # of what waits that is not told by itself
    if event.new is WorkloadState.RUNNING and row["started_at"] is None:
        values["started_at"] = event.at
    if event.new.is_terminal:
        values["finished_at"] = event.at
    return values
