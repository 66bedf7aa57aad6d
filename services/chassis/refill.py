"""The event log and the outboxes heal each other: a log that lost its store or its end is told again from here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import nats.errors
import structlog
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamState
from nats.js.errors import NotFoundError
from sqlalchemy import Table, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from .bus import Bus
from .errors import translated
from .leading import fetch
from .unit import EVENT_SINK, OutboxRow, reading

__all__ = ["Refill"]

_STREAM = "EVENTS"
_MESSAGE_ID = "Nats-Msg-Id"
_BATCH = 1000
_PATIENCE = 10.0

log = structlog.get_logger(__name__)


class Refill:
    """Looks whether the log has what this service said; what is missing is said again, in its order."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        outbox: Table,
        turn: Any,
        bus: Bus,
        announce: Callable[[list[OutboxRow]], None],
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._turn = turn
        self._bus = bus
        self._announce = announce
        self._one_look = asyncio.Lock()

    async def look(self) -> int:
        """Have missing events said again; returns how many. Costs one question when nothing is missing."""
        async with self._one_look:
            newest = await self._newest_said()
            if newest is None or await self._has(newest):
                return 0
            with translated("the event log"):
                state = (await self._bus.jetstream.stream_info(_STREAM)).state
            known = {name async for name in self._ids(state)}
            missing = [row_id async for row_id in self._said(await self._since(state)) if row_id not in known]
            await self._unsay(missing)
            log.warning("log.refilled", missing=len(missing), log_holds=len(known))
            return len(missing)

    async def _newest_said(self) -> Any:
        table = self._outbox.c
        statement = (
            select(table.id, table.subject)
            .where(table.sink == EVENT_SINK, table.sent_at.is_not(None))
            .order_by(table.seq.desc())
            .limit(1)
        )
        async with self._engine.connect() as connection:
            return (await (await reading(connection)).execute(statement)).first()

    async def _has(self, row: Any) -> bool:
        try:
            with translated("the event log"):
                found = await self._bus.jetstream.get_last_msg(_STREAM, row.subject, direct=True)
        except NotFoundError:
            return False
        return bool((found.headers or {}).get(_MESSAGE_ID) == row.id)

    async def _since(self, state: StreamState) -> datetime | None:
        """Return the time before which an operator's limit has let go of events; none where all are kept."""
        if not state.messages or state.first_seq <= 1:
            return None
        with translated("the event log"):
            first = await self._bus.jetstream.get_msg(_STREAM, state.first_seq, direct=True)
        return first.time.astimezone(UTC) if first.time else None

    async def _ids(self, state: StreamState) -> AsyncIterator[str]:
        """Give the id of every event that the log holds, without the events."""
        if not state.messages:
            return
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.ALL,
            headers_only=True,
            mem_storage=True,
            inactive_threshold=4 * _PATIENCE,
        )
        with translated("the event log"):
            subscription = await self._bus.jetstream.pull_subscribe("", stream=_STREAM, config=config)
        try:
            pending = state.messages
            while pending:
                with translated("the event log"):
                    messages = await fetch(subscription, min(_BATCH, pending), within=_PATIENCE)
                for message in messages:
                    yield (message.headers or {}).get(_MESSAGE_ID, "")
                pending = messages[-1].metadata.num_pending
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _said(self, since: datetime | None) -> AsyncIterator[str]:
        table, place = self._outbox.c, 0
        while True:
            statement = (
                select(table.seq, table.id)
                .where(table.seq > place, table.sink == EVENT_SINK, table.sent_at.is_not(None))
                .order_by(table.seq)
                .limit(_BATCH)
            )
            if since is not None:
                statement = statement.where(table.created_at >= since)
            async with self._engine.connect() as connection:
                rows = (await (await reading(connection)).execute(statement)).all()
            for row in rows:
                yield row.id
            if len(rows) < _BATCH:
                return
            place = rows[-1].seq

    async def _unsay(self, ids: list[str]) -> None:
        """Mark rows as not said, and have the relay say them at once if it is at work; else its start will."""
        table = self._outbox
        for begin in range(0, len(ids), _BATCH):
            these = table.c.id.in_(ids[begin : begin + _BATCH])
            async with self._turn, self._engine.begin() as connection:
                await connection.execute(update(table).where(these).values(sent_at=None))
                found = (await connection.execute(select(table).where(these).order_by(table.c.seq))).all()
            self._announce([OutboxRow.of(row) for row in found])
