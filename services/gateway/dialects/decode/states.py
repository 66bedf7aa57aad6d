"""Our states as decode's."""

from __future__ import annotations

from enum import StrEnum

from contracts.states import WorkloadState

__all__ = ["STATES", "JobStates", "status_of"]


class JobStates(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    PULLED = "pulled"
    PREPROCESSING = "preprocessing"
    RUNNING = "running"
    POSTPROCESSING = "postprocessing"
    FINISHED = "finished"
    ERROR = "error"


_W, _D = WorkloadState, JobStates

STATES: dict[WorkloadState, JobStates] = {
    _W.ACCEPTED: _D.QUEUED,
    _W.HELD: _D.QUEUED,
    _W.STAGING: _D.QUEUED,
    _W.QUEUED: _D.QUEUED,
    _W.STARTING: _D.PREPROCESSING,
    _W.RUNNING: _D.RUNNING,
    _W.FINISHING: _D.POSTPROCESSING,
    _W.SUCCEEDED: _D.FINISHED,
    _W.FAILED: _D.ERROR,
    _W.CANCELED: _D.ERROR,
    _W.LOST: _D.ERROR,
}
"""What decode's clients see of each of our states, where its backend says no more."""

_ON_THE_WAY = frozenset({_W.QUEUED, _W.STARTING, _W.RUNNING, _W.FINISHING})
_PHASES = {
    state.value: state for state in (_D.PULLED, _D.PREPROCESSING, _D.RUNNING, _D.POSTPROCESSING, _D.FINISHED, _D.ERROR)
}


def status_of(state: WorkloadState, phase: str) -> JobStates:
    """Return where a job stands; *phase* is its backend's own word, which says more while it is there."""
    if state in _ON_THE_WAY and phase in _PHASES:
        return _PHASES[phase]
    return STATES[state]
