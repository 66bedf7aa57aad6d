"""A table that is older than the event log (it was restored, or lost) is brought forward by folding the events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import nats.errors
import structlog
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.backends import BackendDrained, BackendResumed
from contracts.envelope import Context, Envelope, type_of
from contracts.events import (
    BatchCreated,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDeleted,
    ScheduleFired,
    WorkloadAccepted,
    WorkloadCancelRequested,
    WorkloadMoved,
    WorkloadRemoved,
    WorkloadShared,
    WorkloadTasksMoved,
    WorkloadUnshared,
)
from contracts.hook_events import SubscriptionChanged, SubscriptionCreated, SubscriptionDeleted
from contracts.mail_events import MailRefused, MailSent, MailWished
from contracts.model import now
from contracts.subjects import event_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.leading import fetch
from services.chassis.unit import EVENT_SINK, UnitOfWork, Work, upsert_for
from services.scheduler.tables import METADATA

from . import backends, mail, others, subscriptions, tasks, workloads

__all__ = ["catch_up"]

_STREAM = "EVENTS"
_FILTERS = [event_subject(noun) for noun in ("workload", "batch", "schedule", "subscription", "mail", "backend")]
_MARGIN = timedelta(minutes=10)
"""Clocks differ, and what was said last need not have been made last."""
_BATCH = 500
_PATIENCE = 10.0

_OUTBOX = METADATA.tables["outbox"]

_FOLDS: dict[type[Any], Callable[[Work, Any], Awaitable[None]]] = {
    WorkloadMoved: workloads.move,
    WorkloadAccepted: workloads.accept,
    WorkloadCancelRequested: workloads.request_cancel,
    WorkloadRemoved: workloads.remove,
    WorkloadTasksMoved: tasks.move,
    WorkloadShared: others.share,
    WorkloadUnshared: others.unshare,
    BatchCreated: others.create_batch,
    ScheduleCreated: others.create_schedule,
    ScheduleChanged: others.change_schedule,
    ScheduleDeleted: others.delete_schedule,
    ScheduleFired: others.note_run,
    SubscriptionCreated: subscriptions.create,
    SubscriptionChanged: subscriptions.change,
    SubscriptionDeleted: subscriptions.delete,
    MailWished: mail.wish,
    MailRefused: mail.refuse,
    MailSent: mail.note_sent,
    BackendDrained: backends.drain,
    BackendResumed: backends.resume,
}

log = structlog.get_logger(__name__)


async def catch_up(unit: UnitOfWork, bus: Bus) -> int:
    """Fold what the tables do not know; returns how many events. Few questions when they know all."""
    last = [await _last_event(bus, subject) for subject in _FILTERS]
    if all([event is None or await _knows(unit, event) for event in last]):
        return 0
    folded = 0
    async for events in _read(bus, await _since(unit)):
        async with unit.begin(Context.start("service:scheduler")) as work:
            for envelope, subject, raw in events:
                if await _note(work.connection, envelope, subject, raw):
                    await _fold(work, envelope)
                    folded += 1
    log.warning("table.brought_forward", events=folded)
    return folded


async def _last_event(bus: Bus, subject: str) -> Envelope | None:
    try:
        with translated("the event log"):
            message = await bus.jetstream.get_last_msg(_STREAM, subject)
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
        filter_subjects=_FILTERS,
        mem_storage=True,
        inactive_threshold=4 * _PATIENCE,
    )
    with translated("the event log"):
        subscription = await bus.jetstream.pull_subscribe("", stream=_STREAM, config=config)
        pending = (await subscription.consumer_info()).num_pending or 0
    try:
        while pending:
            with translated("the event log"):
                messages = await fetch(subscription, min(_BATCH, pending), within=_PATIENCE)
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


async def _fold(work: Work, envelope: Envelope) -> None:
    for kind, fold in _FOLDS.items():
        if envelope.type == type_of(kind):
            await fold(work, envelope.unwrap(kind))
            return
