"""Sends what waits on a line, in order, and writes down what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import prometheus_client
import structlog
from sqlalchemy import update

from contracts.envelope import Context
from contracts.events import Event
from contracts.hook_events import DeliveryDead
from contracts.model import now
from contracts.subscriptions import DeliveryState
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.records import Record
from services.scheduler.tables import deliveries

from . import store
from .backoff import pause_after
from .carrying import Bound, Carrier, Dropped, Outcome

__all__ = ["Deliverer"]

_BUDGET = 20.0
"""Seconds after which a step ends even if more is due: it is somebody else's turn, and Temporal sees that we live."""
_BUSY, _LONGEST_BUSY = 0.5, 30.0
"""Seconds until another look where a host has as many requests as it may have; longer, the more were turned away."""

_SENT = prometheus_client.Counter("shunter_deliveries", "Tries to deliver an event, by what came of them", ["outcome"])

log = structlog.get_logger(__name__)


class Deliverer:
    """Works on one line at a time for each who asks; a host is spared by all of them together."""

    def __init__(self, *, unit: UnitOfWork, carriers: Mapping[str, Carrier]) -> None:
        """*carriers*: who carries what, by the channel of a delivery."""
        self._unit = unit
        self._carriers = carriers
        self._busy: Counter[str] = Counter()
        self._turned_away: Counter[str] = Counter()

    async def run(self, line: str) -> float | None:
        """Send what is due; returns the seconds until more is, None if nothing is left that may go."""
        ends = time.monotonic() + _BUDGET
        while time.monotonic() < ends:
            async with self._unit.looking_up() as connection:
                row = await store.next_waiting(connection, line)
            if row is None:
                return None
            if row["next_at"] and (left := (row["next_at"] - now()).total_seconds()) > 0:
                return float(left)
            carrier = self._carriers[row["channel"]]
            async with self._unit.looking_up() as connection:
                bound = await carrier.bind(connection, row)
            if bound is None:
                return None
            pause_before_next = await self._deliver(row, carrier, bound)
            if pause_before_next > 0:
                return pause_before_next
        return 0.0

    async def _deliver(self, row: Record, carrier: Carrier, bound: Bound | Dropped) -> float:
        """Try once; returns the seconds before whatever comes next on this line."""
        if isinstance(bound, Dropped):
            dropped = {"state": DeliveryState.DROPPED.value, "error": bound.why, "body": None, "next_at": None}
            await self._settle(row, dropped)
            return 0.0
        if self._busy[bound.host] >= carrier.at_once:
            return self._turn_away(bound.host, carrier.at_once)
        if carrier.lease is not None and not await self._claim(row, carrier.limit + carrier.lease):
            return _BUSY  # somebody else is sending it at this moment
        with self._at_work(bound.host):
            outcome = await bound.send()
        attempts = row["attempts"] + 1
        known = {"attempts": attempts, "status": outcome.status, "error": outcome.error, "url": bound.url}
        if outcome.good:
            await self._finish(row, known, carrier)
            return 0.0
        seconds = pause_after(attempts, carrier.patience, outcome.retry_after)
        if outcome.final or seconds is None:
            await self._bury(row, known, carrier, outcome)
            return 0.0
        _SENT.labels("failed").inc()
        log.info("hooks.failed_try", delivery=row["id"], attempts=attempts, error=outcome.error, pause=seconds)
        await self._settle(row, {**known, "next_at": now() + timedelta(seconds=seconds)})
        return seconds

    async def _claim(self, row: Record, seconds: float) -> bool:
        """Write a try down before it is made; false if somebody else made one since we looked."""
        values = {"attempts": row["attempts"] + 1, "next_at": now() + timedelta(seconds=seconds), "updated_at": now()}
        this = deliveries.c.id == row["id"], deliveries.c.attempts == row["attempts"]
        waiting = deliveries.c.state == DeliveryState.WAITING.value
        async with self._unit.begin(_context()) as work:
            changed = await work.connection.execute(update(deliveries).where(*this, waiting).values(**values))
        return bool(changed.rowcount)

    @contextmanager
    def _at_work(self, host: str) -> Iterator[None]:
        self._busy[host] += 1
        self._turned_away[host] = max(0, self._turned_away[host] - 1)
        try:
            yield
        finally:
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host], self._turned_away[host]

    def _turn_away(self, host: str, at_once: int) -> float:
        """Return when to come again: all who wait for a slow host would else do nothing but ask."""
        self._turned_away[host] += 1
        return min(_LONGEST_BUSY, _BUSY * (1 + self._turned_away[host] / at_once))

    async def _finish(self, row: Record, known: dict[str, Any], carrier: Carrier) -> None:
        _SENT.labels("delivered").inc()
        values = {**known, "state": DeliveryState.DELIVERED.value, "body": None, "next_at": None}
        async with self._unit.begin(_context()) as work:
            if await _save(work, row, values):
                await carrier.note_delivered(work, {**row, **known})

    async def _bury(self, row: Record, known: dict[str, Any], carrier: Carrier, outcome: Outcome) -> None:
        _SENT.labels("dead").inc()
        async with self._unit.begin(_context()) as work:
            if await _save(work, row, {**known, "state": DeliveryState.DEAD.value, "next_at": None}):
                work.send(_dead({**row, **known}))
                await carrier.note_dead(work, row, outcome)

    async def _settle(self, row: Record, values: dict[str, Any]) -> None:
        async with self._unit.begin(_context()) as work:
            await _save(work, row, values)


async def _save(work: Work, row: Record, values: dict[str, Any]) -> bool:
    """Change a delivery that still waits; somebody may have sent it at the same time."""
    this = deliveries.c.id == row["id"], deliveries.c.state == DeliveryState.WAITING.value
    changed = await work.connection.execute(update(deliveries).where(*this).values(**values, updated_at=now()))
    return bool(changed.rowcount)


def _context() -> Context:
    return Context.start("service:scheduler")


def _dead(row: Record) -> Event:
    return DeliveryDead(
        delivery_id=row["id"],
        **{name: row[name] for name in ("owner", "project", "subscription_id", "workload_id")},
        **{name: row[name] for name in ("event_id", "event_type", "url", "attempts", "status", "error")},
        at=now(),
    )
