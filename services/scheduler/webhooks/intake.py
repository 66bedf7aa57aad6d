"""Takes events into the table of deliveries: those that came together, in one transaction with the place in the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from pydantic import ValidationError
from sqlalchemy import RowMapping, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Context, Envelope
from contracts.model import now
from contracts.subscriptions import SubscriptionState
from services.chassis.reader import Entry
from services.chassis.unit import UnitOfWork, upsert_for
from services.scheduler.records import Record
from services.scheduler.tables import callbacks, deliveries

from . import store
from .formats import JobFacts, state_of
from .matching import CallbackTarget, SubscriptionTarget, Target
from .steering import pause
from .store import Position
from .withdrawing import NOUNS, why_withdrawn
from .words import start_line

__all__ = ["HookIntake"]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Found:
    rows: list[Record] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """Workloads that have ended, of which nothing more will be told."""
    paused: dict[str, str] = field(default_factory=dict)
    """Subscriptions whose owner has lost rights, and which."""


@dataclass(frozen=True, slots=True)
class _Targets:
    told: dict[str, list[Target]]
    """Whoever is told of one workload, by its name."""
    subscriptions: list[SubscriptionTarget]
    facts: dict[str, JobFacts]


class HookIntake:
    """Finds out what is to be sent. Whom to tell is asked of the tables: another replica may have let a job in."""

    def __init__(
        self, *, unit: UnitOfWork, kept: timedelta, more: tuple[tuple[Table, Callable[[RowMapping], Target]], ...] = ()
    ) -> None:
        """*more*: further tables like that of callbacks, and what their rows are."""
        self._unit = unit
        self._kept = kept
        self._tellers = ((callbacks, CallbackTarget), *more)
        self._place: Position | None = None

    async def take(self, entries: Sequence[Entry]) -> int:
        """Write down what is to be sent of some events, which follow each other; returns how much that is."""
        async with self._unit.looking_up() as connection:
            targets = await self._targets(connection, entries)
        found, place = self._look_through(entries, targets)
        self._place = place or self._place
        if found.rows or found.closed or found.paused:
            await self._write(found)
        return len(found.rows)

    async def settle(self) -> None:
        """Write down the place in the log, if nothing else has since it moved."""
        if self._place is not None:
            await self._write(_Found())

    def _look_through(self, entries: Sequence[Entry], targets: _Targets) -> tuple[_Found, Position | None]:
        found, place = _Found(), None
        too_old = now() - self._kept
        for entry in entries:
            noun, about = _names_of(entry)
            served = [one for one in targets.subscriptions if one.row["id"] not in found.paused]
            wanting = served if noun in NOUNS else [one for one in served if one.may_want(noun)]
            told = targets.told.get(about, [])
            if not wanting and not told:
                continue
            try:
                envelope = Envelope.from_bytes(entry.data)
            except ValidationError:
                log.warning("hooks.unreadable_event", sequence=entry.sequence)
                continue
            if noun in NOUNS:
                found.paused |= {one.row["id"]: why for one in served if (why := why_withdrawn(envelope, one.row))}
                wanting = [one for one in served if one.row["id"] not in found.paused]
            facts = targets.facts.get(about, JobFacts())
            if envelope.time > too_old:
                found.rows += [row for target in (*wanting, *told) for row in target.drafts(envelope, facts)]
            state = state_of(envelope)
            if told and state is not None and state.is_terminal:
                found.closed.append(about)
        if entries:
            place = Position(entries[-1].sequence, now())
        return found, place

    async def _targets(self, connection: AsyncConnection, entries: Sequence[Entry]) -> _Targets:
        about = {parts[-1] for entry in entries if (parts := entry.subject.split("."))[1] == "workload"}
        told: dict[str, list[Target]] = defaultdict(list)
        for table, teller in self._tellers:
            for job, row in (await store.open_told(connection, table, about)).items():
                told[job].append(teller(row))
        served = [SubscriptionTarget(row) for row in await store.active_subscriptions(connection)]
        special = {job for job, targets in told.items() if any(one.wants_facts for one in targets)}
        asked = about if any(one.wants_facts for one in served) else special
        return _Targets(told, served, await store.facts_of(connection, asked))

    async def _write(self, found: _Found) -> None:
        async with self._unit.begin(Context.start("service:scheduler")) as work:
            if found.rows:
                statement = upsert_for(work.connection)(deliveries).on_conflict_do_nothing()
                await work.connection.execute(statement, found.rows)
            for line, owner in {row["line"]: row["owner"] for row in found.rows}.items():
                work.defer(*start_line(line, owner))
            if found.closed:
                await store.close_told(work.connection, found.closed)
            for subscription_id, why in found.paused.items():
                row = await store.lock(work.connection, subscription_id)
                if row is not None and row["state"] == SubscriptionState.ACTIVE:
                    await pause(work, row, why)
            if self._place is not None:
                await store.keep_position(work.connection, self._place)
        self._place = None


def _names_of(entry: Entry) -> tuple[str, str]:
    """Return the noun of an event and what it is about, from its subject: most need not be read."""
    parts = entry.subject.split(".")
    return parts[1], parts[-1]
