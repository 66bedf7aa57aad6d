"""What accounting does for those who ask: summaries of usage, and the proof that the event log says the same."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import InvalidError
from contracts.model import now
from contracts.principals import Principal
from contracts.queries import SumUsage
from contracts.usage import GroupBy, ReplayReport, UsageSummary
from services.chassis.policy import scope_of
from services.chassis.unit import UnitOfWork

from .eventlog import EventLog
from .replay import empty_ledger, rebuild
from .store import Selection, count_open, read_position, read_sums
from .summary import Group, Sums, differences, summarize, without_days

__all__ = ["UsageService"]

_MOST_ROWS = 10_000
"""Rows of one answer; more do not fit into one message."""

_KEEP_UP_WITHIN = 10.0
"""Seconds that a replay gives the live ledger to take what the log held at the replay's start."""

_LOOK_EVERY = 0.05

log = structlog.get_logger(__name__)


class UsageService:
    """Answers from the ledger."""

    def __init__(self, *, unit: UnitOfWork, events: EventLog, scratch: Path, patience: float = _KEEP_UP_WITHIN) -> None:
        self._unit = unit
        self._events = events
        self._scratch = scratch
        self._patience = patience
        self._one_replay = asyncio.Lock()

    async def sum(self, query: SumUsage) -> UsageSummary:
        """Return what was used, of that which the principal may see.

        The ledger is kept by UTC day: every day that *since* to *until* touches counts as a whole.
        """
        selection = Selection(
            scope=scope_of(query.principal),
            owner=query.owner,
            project=query.project,
            backend=query.backend,
            first_day=query.since.astimezone(UTC).date() if query.since else None,
            last_day=_last_day(query.until) if query.until else None,
        )
        async with self._unit.reading() as connection:
            # First, so that it never says more than is in the figures.
            sequence = await read_position(connection)
            sums = await read_sums(connection, list(dict.fromkeys(query.group_by)), selection)
            open_segments = await count_open(connection, selection)
        if len(sums) > _MOST_ROWS:
            raise InvalidError(f"{len(sums)} rows are too many for one answer; narrow it or group by less")
        return summarize(sums, open_segments=open_segments, sequence=sequence)

    async def replay(self, principal: Principal) -> ReplayReport:
        """Rebuild the figures from the event log alone and compare those that the principal may see."""
        async with self._one_replay:
            return await self._replay(principal)

    async def _replay(self, principal: Principal) -> ReplayReport:
        started_at, begin = now(), time.perf_counter()
        first, last = await self._events.bounds()
        everything = Selection(scope=scope_of(principal), until_sequence=last)
        async with empty_ledger(self._scratch) as connection:
            async with aclosing(self._events.read(last)) as batches:
                rebuilt = await rebuild(connection, batches)
            seconds = time.perf_counter() - begin
            replayed, replayed_open = await _figures(connection, everything)
        await self._events.wait_until_taken(rebuilt.last_sequence, patience=self._patience, every=_LOOK_EVERY)
        async with self._unit.reading() as live_connection:
            live, live_open = await _figures(live_connection, everything)
        found = differences(live, replayed) + _open_differences(live_open, replayed_open)
        if found and first > 1:
            found.append(f"the event log begins at event {first}: what was before is not in it any more")
        log.info("replay.done", events=rebuilt.events, seconds=seconds, differences=len(found))
        return ReplayReport(
            equal=not found,
            events=rebuilt.events,
            last_sequence=last,
            seconds=seconds,
            live=_summary(live, live_open, last),
            replayed=_summary(replayed, replayed_open, last),
            differences=found,
            started_at=started_at,
        )


def _last_day(until: datetime) -> date:
    """Return the last day before *until*, which itself is not meant any more."""
    return (until.astimezone(UTC) - timedelta(microseconds=1)).date()


async def _figures(connection: AsyncConnection, selection: Selection) -> tuple[dict[Group, Sums], int]:
    return await read_sums(connection, list(GroupBy), selection), await count_open(connection, selection)


def _summary(sums: dict[Group, Sums], open_segments: int, sequence: int) -> UsageSummary:
    shown = sums if len(sums) <= _MOST_ROWS // 2 else without_days(sums)
    return summarize(shown, open_segments=open_segments, sequence=sequence)


def _open_differences(live: int, replayed: int) -> list[str]:
    if live == replayed:
        return []
    return [f"open segments: {live} in the ledger, {replayed} by the event log"]
