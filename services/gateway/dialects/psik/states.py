"""Our states and moves as psik's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.glances import Glance
from contracts.states import WorkloadState
from contracts.workloads import Transition

from .models import JobState, JobStepInfo
from .names import JOB, NAME, RUN

__all__ = ["STATES", "first_step", "last_step", "steps_of"]

_W, _P = WorkloadState, JobState

STATES: dict[WorkloadState, JobState] = {
    _W.ACCEPTED: _P.QUEUED,
    _W.HELD: _P.NEW,
    _W.STAGING: _P.QUEUED,
    _W.QUEUED: _P.QUEUED,
    _W.STARTING: _P.QUEUED,
    _W.RUNNING: _P.ACTIVE,
    _W.FINISHING: _P.ACTIVE,
    _W.SUCCEEDED: _P.COMPLETED,
    _W.FAILED: _P.FAILED,
    _W.CANCELED: _P.CANCELED,
    _W.LOST: _P.FAILED,
}
"""What psik's clients see of each of our states."""

_OF_NO_RUN = frozenset({_P.NEW, _P.CANCELED})
_HAS_CODE = frozenset({_P.COMPLETED, _P.FAILED})


@dataclass(frozen=True, slots=True)
class _Moment:
    state: WorkloadState
    at: datetime
    exit_code: int | None


def last_step(run: Glance) -> JobStepInfo:
    """Return where a job stands, by its last run."""
    return _step(run, _Moment(run.state, run.updated_at, run.exit_code))


def first_step(run: Glance) -> JobStepInfo:
    """Return that a job was made."""
    return _step(run, _Moment(WorkloadState.HELD, run.created_at, None))


def steps_of(run: Glance, moves: Sequence[Transition]) -> Iterator[JobStepInfo]:
    """Return the steps of one run, oldest first: moves that psik does not tell apart are one."""
    if len(moves) > 1 and moves[1].state is WorkloadState.HELD:
        moves = moves[2:]  # it was made to be started later: that is no step besides `new`
    before: JobState | None = None
    for move in moves:
        if STATES[move.state] is not before:
            yield _step(run, _Moment(move.state, move.at, move.exit_code))
        before = STATES[move.state]


def _step(run: Glance, moment: _Moment) -> JobStepInfo:
    state = STATES[moment.state]
    return JobStepInfo.model_construct(
        jobid=run.labels[JOB],
        name=run.labels.get(NAME, run.name or ""),
        updated=round(moment.at.timestamp(), 6),
        jobndx=0 if state in _OF_NO_RUN else int(run.labels[RUN]),
        state=state,
        info=(moment.exit_code or 0) if state in _HAS_CODE else 0,
    )
