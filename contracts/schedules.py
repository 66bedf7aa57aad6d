"""Repeated jobs: when, what, and what to do when two would run side by side."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Annotated, Self
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator

from .ids import WorkloadId
from .model import Model, Timestamp
from .resources import Span
from .spec import JobSpec

__all__ = [
    "SHORTEST_PAUSE",
    "Cron",
    "Overlap",
    "RunOutcome",
    "Schedule",
    "ScheduleId",
    "ScheduleRun",
    "ScheduleSpec",
    "ScheduleState",
    "schedule_job_key",
]

SHORTEST_PAUSE = timedelta(seconds=10)
"""Between two runs of one schedule; a cron expression cannot say less than a minute."""

_CRON_FIELDS = 5

ScheduleId = Annotated[str, StringConstraints(pattern=r"^sch-[0-9a-f]{32}$")]
"""A schedule's identifier, e.g. `sch-0193e7…`."""


def _check_cron(value: str) -> str:
    words = value.split()
    if len(words) != _CRON_FIELDS:
        raise ValueError("must have five fields: minute, hour, day of the month, month, day of the week")
    try:
        read = CronSim(value, datetime.now(UTC))
    except (CronSimError, ValueError, IndexError) as error:
        raise ValueError(f"is no cron expression: {error}") from error
    if min(read.days) < 0 or any(isinstance(day, tuple) for day in read.weekdays):
        raise ValueError("days are numbers, names, lists, ranges and steps; L, LW and # are not known here")
    return " ".join(words)


Cron = Annotated[str, StringConstraints(min_length=9, max_length=256), AfterValidator(_check_cron)]
"""Five fields: minute, hour, day of the month, month, day of the week; `*/15 8-18 * * MON-FRI`."""


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _check_zone(value: str) -> str:
    if value not in _zones():
        raise ValueError("is no time zone of the IANA database, such as UTC or Europe/Berlin")
    return value


TimeZone = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_check_zone)]


def _within_reason(moment: datetime) -> datetime:
    if not 1970 <= moment.year <= 9000:
        raise ValueError("must lie between the years 1970 and 9000")
    return moment


Day = Annotated[Timestamp, AfterValidator(_within_reason)]


class Overlap(StrEnum):
    """What happens when a run is due while the job of the one before has not ended."""

    SKIP = "skip"
    """It is left out."""
    BUFFER_ONE = "buffer_one"
    """It waits for the end; further ones are left out."""
    ALLOW = "allow"
    """They run side by side."""
    CANCEL_OTHER = "cancel_other"
    """The one before is cancelled."""


class ScheduleSpec(Model):
    """A job that is submitted again and again, by `cron`, by `every`, or both."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f/]+$", examples=["nightly-report"])
    cron: Cron | None = Field(default=None, examples=["30 2 * * *"])
    """Minute, hour, day of the month, month, day of the week."""
    every: Annotated[Span, Field(ge=SHORTEST_PAUSE, le=timedelta(days=366))] | None = Field(
        default=None, examples=["6h"]
    )
    """A pause between runs, counted from the beginning of 1970: `6h` is at 0, 6, 12 and 18 o'clock UTC."""
    time_zone: TimeZone = "UTC"
    """In which `cron` is read. A time that a change of clocks leaves out is left out."""
    job: JobSpec
    overlap: Overlap = Overlap.SKIP
    catch_up: Annotated[Span, Field(ge=SHORTEST_PAUSE, le=timedelta(days=365))] = timedelta(minutes=10)
    """Runs that were missed while Shunter was down are made up for if they are no older than this; one that cannot be
    submitted for so long, because something else is down, is given up."""
    jitter: Annotated[Span, Field(ge=timedelta(0), le=timedelta(days=1))] = timedelta(0)
    """Each run is late by a random part of this, so that not everything begins on the hour."""
    start_at: Day | None = None
    end_at: Day | None = None
    max_runs: int | None = Field(default=None, ge=1, le=1_000_000)
    """The schedule ends after so many runs."""
    paused: bool = False

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.cron is None and self.every is None:
            raise ValueError("give cron or every")
        if self.job.start_at is not None or self.job.after:
            raise ValueError("job: the schedule says when it starts; start_at and after are not for it")
        if self.start_at and self.end_at and self.end_at <= self.start_at:
            raise ValueError("end_at must be later than start_at")
        return self


class ScheduleState(StrEnum):
    """Whether a schedule still makes jobs."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"
    DELETED = "deleted"


class RunOutcome(StrEnum):
    """What became of one run of a schedule."""

    PENDING = "pending"
    """It is being submitted."""
    SUBMITTED = "submitted"
    REFUSED = "refused"


class ScheduleRun(Model):
    """One run of a schedule."""

    scheduled_for: Timestamp
    job_id: WorkloadId
    """The job; if the run was refused there is none of this name."""
    outcome: RunOutcome
    message: str = ""
    """Why it was refused."""
    by_hand: bool = False
    """Whether somebody triggered it."""
    at: Timestamp


class Schedule(Model):
    """A schedule as its owner sees it."""

    id: ScheduleId
    owner: str
    project: str | None = None
    spec: ScheduleSpec
    state: ScheduleState
    revision: int = 1
    """Counts the changes, from 1."""
    runs: int = 0
    """How many there were."""
    next_runs: list[Timestamp] = []
    """When it will run next, without jitter; empty while it is paused."""
    recent_runs: list[ScheduleRun] = []
    """Newest first; in a list of schedules only the last one."""
    last_error: str = ""
    """Why the last run was refused; empty if it was not."""
    created_at: Timestamp
    updated_at: Timestamp


def schedule_job_key(schedule_id: str, scheduled_for: AwareDatetime) -> str:
    """Return what the identifier of a run's job is derived from: the same run is the same job."""
    return f"{schedule_id}@{scheduled_for.astimezone(UTC).isoformat(timespec='microseconds')}"
