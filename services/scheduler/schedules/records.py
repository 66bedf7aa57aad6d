"""Rows to schedules, and schedules to rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import RowMapping

from contracts.ids import workload_id_from
from contracts.model import now
from contracts.principals import Level, Principal
from contracts.schedules import RunOutcome, Schedule, ScheduleRun, ScheduleSpec, ScheduleState, schedule_job_key
from contracts.secrets import without_secrets
from services.scheduler.records import Record

from .timing import next_runs

__all__ = ["job_id_of", "new_row", "new_run", "principal_of", "spec_of", "state_of", "to_run", "to_schedule"]

Row = RowMapping | Record

_SHOWN = 5
"""Coming runs that are shown."""


def spec_of(row: Row) -> ScheduleSpec:
    """Return what was asked for."""
    return ScheduleSpec.model_validate(row["spec"], extra="ignore")


def principal_of(row: Row) -> Principal:
    """Return in whose name the jobs are submitted."""
    return Principal.model_validate(row["principal"], extra="ignore")


def state_of(row: Row) -> ScheduleState:
    """Return where it stands, as far as it was noted."""
    return ScheduleState(row["state"])


def job_id_of(row: Row) -> str:
    """Return the identifier of a run's job, which the run itself decides."""
    return workload_id_from("schedule", schedule_job_key(row["schedule_id"], row["scheduled_for"]))


def to_run(row: Row) -> ScheduleRun:
    """Return one run."""
    return ScheduleRun.model_validate({name: row[name] for name in ScheduleRun.model_fields}, extra="ignore")


def to_schedule(row: Row, runs: Sequence[Row] = (), *, shown: int = _SHOWN) -> Schedule:
    """Return a schedule as its owner sees it."""
    spec, state = spec_of(row), state_of(row)
    due = next_runs(spec, now(), shown) if state in {ScheduleState.ACTIVE, ScheduleState.PAUSED} else []
    if state is ScheduleState.ACTIVE and not due:
        state = ScheduleState.ENDED
    if spec.max_runs is not None:
        due = due[: max(0, spec.max_runs - row["runs"])]
    return Schedule(
        id=row["id"],
        owner=row["owner"],
        project=row["project"],
        spec=without_secrets(spec),
        state=state,
        revision=row["revision"],
        runs=row["runs"],
        next_runs=due if state is ScheduleState.ACTIVE else [],
        recent_runs=[to_run(run) for run in runs],
        last_error=row["last_error"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def new_row(schedule_id: str, principal: Principal, spec: ScheduleSpec, request_hash: str) -> Record:
    """Return the row of a new schedule, whose job names the project that pays."""
    project = spec.job.project
    # Neither roles nor other projects: a schedule can do later what its owner could do now, and no more.
    kept = Principal(
        subject=principal.subject,
        issuer=principal.issuer,
        projects={project: Level.MEMBER} if project else {},
        email=principal.email,
    )
    moment = now()
    return {
        "id": schedule_id,
        "owner": principal.subject,
        "project": project,
        "name": spec.name,
        "spec": spec.model_dump(mode="json"),
        "principal": kept.model_dump(mode="json"),
        "state": (ScheduleState.PAUSED if spec.paused else ScheduleState.ACTIVE).value,
        "revision": 1,
        "runs": 0,
        "last_error": "",
        "request_hash": request_hash,
        "created_at": moment,
        "updated_at": moment,
    }


def new_run(schedule_id: str, scheduled_for: datetime, *, workflow_id: str | None) -> Record:
    """Return the row of a run that is about to be submitted."""
    key = {"schedule_id": schedule_id, "scheduled_for": scheduled_for}
    return {
        **key,
        "job_id": job_id_of(key),
        "workflow_id": workflow_id,
        "outcome": RunOutcome.PENDING.value,
        "message": "",
        "by_hand": workflow_id is None,
        "at": now(),
    }
