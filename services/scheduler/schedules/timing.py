"""When a schedule is due. The reading of cron is cronsim's; Temporal is told the sets that it found."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

from contracts.schedules import ScheduleSpec

__all__ = ["Calendar", "calendars", "next_runs"]

_LOOKED_AT = 1000
"""Due times that are looked at before we give up; only those that a change of clocks leaves out are passed over."""

_ALL_DAYS = frozenset(range(1, 32))
_ALL_WEEKDAYS = frozenset(range(7))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Times at which all of these fit."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]


def calendars(cron: str) -> list[Calendar]:
    """Return what a cron expression means: where day and weekday are both given, either is enough, as cron has it."""
    read = CronSim(cron, _EPOCH)
    minutes, hours, months = (frozenset(found) for found in (read.minutes, read.hours, read.months))
    days = frozenset(read.days)
    weekdays = frozenset(day % 7 for day in read.weekdays if isinstance(day, int))
    both = [Calendar(minutes, hours, days, months, weekdays)]
    either = [
        Calendar(minutes, hours, days, months, _ALL_WEEKDAYS),
        Calendar(minutes, hours, _ALL_DAYS, months, weekdays),
    ]
    return both if read.day_and else either


def next_runs(spec: ScheduleSpec, after: datetime, count: int) -> list[datetime]:
    """Return the next *count* moments after *after* at which a schedule is due, fewer if it ends before."""
    start = max(after, spec.start_at - timedelta(microseconds=1)) if spec.start_at else after
    merged = heapq.merge(_by_cron(spec, start), _by_interval(spec, start))
    due = (moment for moment, _ in groupby(merged))
    return [moment for moment in islice(due, count) if spec.end_at is None or moment <= spec.end_at]


def _by_interval(spec: ScheduleSpec, after: datetime) -> Iterator[datetime]:
    if spec.every is None:
        return
    place = (after - _EPOCH) // spec.every
    while True:
        place += 1
        yield _EPOCH + place * spec.every


def _by_cron(spec: ScheduleSpec, after: datetime) -> Iterator[datetime]:
    if spec.cron is None:
        return
    read = CronSim(spec.cron, after.astimezone(ZoneInfo(spec.time_zone)))
    for moment in islice(read, _LOOKED_AT):
        # cronsim moves what a change of clocks leaves out to after the change; Temporal leaves it out.
        if moment.hour in read.hours and moment.minute in read.minutes:
            yield moment.astimezone(UTC)
