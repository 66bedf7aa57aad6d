"""A table that is older than the event log (it was restored, or lost) is brought forward by folding the events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import nats.errors
import structlog
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError
from pydantic import ValidationError
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Context, Envelope, type_of
from contracts.events import WorkloadAccepted, WorkloadCancelRequested, WorkloadMoved
from contracts.model import now
from contracts.states import WorkloadState
from contracts.subjects import event_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.unit import EVENT_SINK, UnitOfWork, upsert_for

from .entrance import new_row
from .records import Record
from .store import find
from .tables import METADATA, transitions, workloads

__all__ = ["catch_up"]

_STREAM = "EVENTS"
_FILTER = event_subject("workload")
_MARGIN = timedelta(minutes=10)
"""Clocks differ, and what was said last need not have been made last."""
_BATCH = 500
_PATIENCE = 10.0

_OUTBOX = METADATA.tables["outbox"]

log = structlog.get_logger(__name__)


async def catch_up(unit: UnitOfWork, bus: Bus) -> set[str]:
    """Fold what the table does not know; returns the workloads that changed. One question when it knows all."""
    last = await _last_event(bus)
    if last is None or await _knows(unit, last):
        return set()
    changed: set[str] = set()
    async for events in _read(bus, await _since(unit)):
        async with unit.begin(Context.start("service:scheduler")) as work:
            for envelope, subject, raw in events:
                if await _note(work.connection, envelope, subject, raw):
                    await _fold(work.connection, envelope)
                    changed.add(envelope.subject)
    log.warning("table.brought_forward", workloads=len(changed))
    return changed


async def _last_event(bus: Bus) -> Envelope | None:
    try:
        with translated("the event log"):
            message = await bus.jetstream.get_last_msg(_STREAM, _FILTER)
        return Envelope.from_bytes(message.data or b"")
    except (NotFoundError, ValidationError):
        return None


async def _knows(unit: UnitOfWork, envelope: Envelope) -> bool:
    async with unit.reading() as connection:
        found = await connection.execute(select(_OUTBOX.c.seq).where(_OUTBOX.c.id == envelope.id))
        return found.first() is not None


async def _since(unit: UnitOfWork) -> datetime | None:
    newest = select(func.max(_OUTBOX.c.created_at)).where(_OUTBOX.c.sink == EVENT_SINK)
    async with unit.reading() as connection:
        found: datetime | None = (await connection.execute(newest)).scalar()
    return found - _MARGIN if found else None


async def _read(bus: Bus, since: datetime | None) -> AsyncIterator[list[tuple[Envelope, str, bytes]]]:
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.BY_START_TIME if since else DeliverPolicy.ALL,
        opt_start_time=since,
        mem_storage=True,
        inactive_threshold=4 * _PATIENCE,
    )
    with translated("the event log"):
        subscription = await bus.jetstream.pull_subscribe(_FILTER, stream=_STREAM, config=config)
        pending = (await subscription.consumer_info()).num_pending or 0
    try:
        while pending:
            with translated("the event log"):
                messages = await subscription.fetch(min(_BATCH, pending), timeout=_PATIENCE)
            found = []
            for message in messages:
                with suppress(ValidationError):
                    found.append((Envelope.from_bytes(message.data), message.subject, message.data))
            yield found
            pending = messages[-1].metadata.num_pending
    finally:
        with suppress(nats.errors.Error):
            await subscription.unsubscribe()


async def _note(connection: AsyncConnection, envelope: Envelope, subject: str, raw: bytes) -> bool:
    """Put the event where those we said are kept; False if it is there."""
    row = {
        "id": envelope.id,
        "sink": EVENT_SINK,
        "subject": subject,
        "payload": raw,
        "created_at": envelope.time,
        "sent_at": now(),
    }
    added = await connection.execute(upsert_for(connection)(_OUTBOX).values(row).on_conflict_do_nothing())
    return bool(added.rowcount)


async def _fold(connection: AsyncConnection, envelope: Envelope) -> None:
    if envelope.type == type_of(WorkloadAccepted):
        await _accept(connection, envelope.unwrap(WorkloadAccepted))
    elif envelope.type == type_of(WorkloadMoved):
        await _move(connection, envelope.unwrap(WorkloadMoved))
    elif envelope.type == type_of(WorkloadCancelRequested):
        asked = envelope.unwrap(WorkloadCancelRequested)
        statement = update(workloads).where(workloads.c.id == asked.workload_id).values(cancel_requested=True)
        await connection.execute(statement)


async def _accept(connection: AsyncConnection, event: WorkloadAccepted) -> None:
    if await find(connection, event.workload_id) is not None:
        return
    row = new_row(
        event.workload_id, event.owner, event.spec, event.inputs, event.kind, event.request_hash, event.retry_of
    )
    row |= {"created_at": event.at, "updated_at": event.at}
    await connection.execute(insert(workloads).values(**row))
    first = {name: row[name] for name in ("state", "attempt", "reason", "message")}
    await connection.execute(
        insert(transitions).values(workload_id=event.workload_id, revision=1, at=event.at, **first)
    )


async def _move(connection: AsyncConnection, event: WorkloadMoved) -> None:
    row = await find(connection, event.workload_id)
    if row is None or row["revision"] >= event.revision:
        return
    if row["revision"] + 1 != event.revision:
        log.error("table.gap", workload=event.workload_id, has=row["revision"], event=event.revision)
    values = _after(row, event)
    await connection.execute(update(workloads).where(workloads.c.id == event.workload_id).values(**values))
    shown = {name: values[name] for name in ("revision", "state", "attempt", "reason", "message")}
    place = {name: getattr(event, name) for name in ("backend", "native_id", "exit_code")}
    await connection.execute(
        insert(transitions).values(
            workload_id=event.workload_id,
            at=event.at,
            **shown,
            **place,
            allocation=event.allocation.model_dump(mode="json") if event.allocation else None,
            usage=event.usage.model_dump(mode="json") if event.usage else None,
        )
    )


def _after(row: Record, event: WorkloadMoved) -> dict[str, Any]:
    """Return what a move makes of a row, as `Journey` did when it happened."""
    values: dict[str, Any] = {
        "state": event.new.value,
        "reason": event.reason.value,
        "message": event.message,
        "revision": event.revision,
        "updated_at": event.at,
        "attempt": event.attempt,
        "backend": event.backend,
        "native_id": event.native_id,
        "exit_code": event.exit_code,
    }
    if event.attempt != row["attempt"]:
        values |= {"allocation": None, "usage": None, "seen_at": None}
    for name in ("allocation", "usage"):
        if (part := getattr(event, name)) is not None:
            values[name] = part.model_dump(mode="json")
    for name in ("outputs", "logs"):
        if files := getattr(event, name):
            values[name] = [item.model_dump(mode="json") for item in files]
    if event.new is WorkloadState.RUNNING and row["started_at"] is None:
        values["started_at"] = event.at
    if event.new.is_terminal:
        values["finished_at"] = event.at
    return values
