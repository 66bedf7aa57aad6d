"""Sends what waits on a line, in order, and writes down what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import prometheus_client
import structlog
from sqlalchemy import update

from contracts.envelope import Context
from contracts.errors import InvalidError
from contracts.events import Event
from contracts.hook_events import DeliveryDead
from contracts.hooks import read_url
from contracts.model import now
from contracts.subscriptions import DeliveryState, SubscriptionState
from services.chassis.sealing import Sealer
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.records import Record
from services.scheduler.settings import Webhooks
from services.scheduler.tables import callbacks, deliveries

from . import store
from .backoff import pause_after
from .formats import PING
from .records import callback_of, spec_of
from .sending import SIGNATURE, Answer, Sender, UnreachableError, sign
from .steering import pause
from .targets import Targets

__all__ = ["Deliverer"]

_BUDGET = 20.0
"""Seconds after which a step ends even if more is due: it is somebody else's turn, and Temporal sees that we live."""
_BUSY, _LONGEST_BUSY = 0.5, 30.0
"""Seconds until another look where a host has as many requests as it may have; longer, the more were turned away."""
_GONE = 410
_AGENT = "Shunter-Webhook/1"

_SENT = prometheus_client.Counter("shunter_deliveries", "Tries to deliver an event, by what came of them", ["outcome"])

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Target:
    url: str
    secret: str | None
    """Sealed."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    status: int | None
    error: str = ""
    retry_after: float | None = None

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Deliverer:
    """Works on one line at a time for each who asks; a host is spared by all of them together."""

    def __init__(
        self, *, unit: UnitOfWork, sender: Sender, sealer: Sealer, targets: Targets, settings: Webhooks
    ) -> None:
        self._unit = unit
        self._sender = sender
        self._sealer = sealer
        self._targets = targets
        self._settings = settings
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
            target = await self._target(row)
            if target is None:
                return None
            pause_before_next = await self._deliver(row, target)
            if pause_before_next > 0:
                return pause_before_next
        return 0.0

    async def _target(self, row: Record) -> _Target | None:
        """Return where to send, or None if nothing goes there now."""
        async with self._unit.looking_up() as connection:
            if row["subscription_id"] is None:
                told = await store.find_callback(connection, row["workload_id"])
                return _Target(callback_of(told).url, callback_of(told).secret) if told else None
            subscription = await store.find(connection, row["subscription_id"])
        if subscription is None:
            return None
        state, spec = SubscriptionState(subscription["state"]), spec_of(subscription)
        if state is SubscriptionState.DELETED:
            return None  # what waited was dropped with it
        may_go = state is SubscriptionState.ACTIVE or row["event_type"] == PING
        return _Target(spec.url, spec.secret) if may_go else None

    async def _deliver(self, row: Record, target: _Target) -> float:
        """Try once; returns the seconds before whatever comes next on this line."""
        address = read_url(target.url)
        if self._busy[address.host] >= self._settings.per_host:
            return self._turn_away(address.host)
        with self._at_work(address.host):
            outcome = await self._try(row, target)
        attempts = row["attempts"] + 1
        known = {"attempts": attempts, "status": outcome.status, "error": outcome.error, "url": target.url}
        if outcome.is_good:
            _SENT.labels("delivered").inc()
            await self._settle(row, {**known, "state": DeliveryState.DELIVERED.value, "body": None, "next_at": None})
            return 0.0
        seconds = pause_after(attempts, self._settings, outcome.retry_after)
        if outcome.status == _GONE or seconds is None:
            _SENT.labels("dead").inc()
            await self._bury(row, known, outcome)
            return 0.0
        _SENT.labels("failed").inc()
        log.info("hooks.failed_try", delivery=row["id"], attempts=attempts, error=outcome.error, pause=seconds)
        await self._settle(row, {**known, "next_at": now() + timedelta(seconds=seconds)})
        return seconds

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

    def _turn_away(self, host: str) -> float:
        """Return when to come again: all who wait for a slow host would else do nothing but ask."""
        self._turned_away[host] += 1
        return min(_LONGEST_BUSY, _BUSY * (1 + self._turned_away[host] / self._settings.per_host))

    async def _try(self, row: Record, target: _Target) -> _Outcome:
        # What was allowed when it was asked for need not be allowed any more.
        if refusal := self._targets.refusal(address := read_url(target.url)):
            return _Outcome(None, refusal)
        try:
            answer = await self._sender.post(address, self._headers(row, target), row["body"])
        except UnreachableError as error:
            return _Outcome(None, str(error))
        except InvalidError as error:
            return _Outcome(None, error.detail)
        return _Outcome(answer.status, _words(answer), answer.retry_after)

    def _headers(self, row: Record, target: _Target) -> list[tuple[str, str]]:
        headers = [
            ("content-type", row["content_type"]),
            ("user-agent", _AGENT),
            ("ce-id", row["event_id"]),
            ("shunter-delivery", row["id"]),
            ("shunter-attempt", str(row["attempts"] + 1)),
        ]
        if target.secret is not None:
            headers.append((SIGNATURE, sign(self._sealer.open(target.secret), row["body"])))
        return headers

    async def _bury(self, row: Record, known: dict[str, Any], outcome: _Outcome) -> None:
        async with self._unit.begin(_context()) as work:
            if await _save(work, row, {**known, "state": DeliveryState.DEAD.value, "next_at": None}):
                work.send(_dead({**row, **known}))
                if outcome.status == _GONE:
                    await _give_up(work, row)

    async def _settle(self, row: Record, values: dict[str, Any]) -> None:
        async with self._unit.begin(_context()) as work:
            await _save(work, row, values)


async def _give_up(work: Work, row: Record) -> None:
    """Tell a target nothing more that says it is gone."""
    if row["subscription_id"] is None:
        this = callbacks.c.workload_id == row["workload_id"]
        await work.connection.execute(update(callbacks).where(this).values(closed=True))
        return
    found = await store.lock(work.connection, row["subscription_id"])
    if found is not None and found["state"] == SubscriptionState.ACTIVE:
        await pause(work, found, "its target answered 410 Gone")


async def _save(work: Work, row: Record, values: dict[str, Any]) -> bool:
    """Change a delivery that still waits; somebody may have sent it at the same time."""
    this = deliveries.c.id == row["id"], deliveries.c.state == DeliveryState.WAITING.value
    changed = await work.connection.execute(update(deliveries).where(*this).values(**values, updated_at=now()))
    return bool(changed.rowcount)


def _context() -> Context:
    return Context.start("service:scheduler")


def _words(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return f"answered {answer.status}; redirects are not followed"
    return "" if 200 <= answer.status < 300 else f"answered {answer.status}"


def _dead(row: Record) -> Event:
    return DeliveryDead(
        delivery_id=row["id"],
        **{name: row[name] for name in ("owner", "project", "subscription_id", "workload_id")},
        **{name: row[name] for name in ("event_id", "event_type", "url", "attempts", "status", "error")},
        at=now(),
    )
