"""The states of a workload, and the one table of moves between them."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["HOLDS_ROOM", "MOVES", "TERMINAL", "Reason", "WorkloadState", "may_move"]


class WorkloadState(StrEnum):
    """Where a workload stands."""

    ACCEPTED = "accepted"
    HELD = "held"
    STAGING = "staging"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    FINISHING = "finishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    LOST = "lost"

    @property
    def is_terminal(self) -> bool:
        """Say whether nothing will change any more."""
        return self in TERMINAL


_S = WorkloadState

TERMINAL = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELED, _S.LOST})
"""States in which a workload stays for ever."""

HOLDS_ROOM = frozenset({_S.STARTING, _S.RUNNING})
"""States in which an attempt holds room on its backend, which is metered."""

_ENDS_BADLY = frozenset({_S.FAILED, _S.CANCELED, _S.LOST})

MOVES: dict[WorkloadState, frozenset[WorkloadState]] = {
    _S.ACCEPTED: frozenset({_S.HELD, _S.STAGING, _S.QUEUED}) | _ENDS_BADLY,
    _S.HELD: frozenset({_S.ACCEPTED, _S.STAGING, _S.QUEUED}) | _ENDS_BADLY,
    _S.STAGING: frozenset({_S.QUEUED}) | _ENDS_BADLY,
    _S.QUEUED: frozenset({_S.QUEUED, _S.STARTING, _S.RUNNING, _S.FINISHING}) | _ENDS_BADLY,
    _S.STARTING: frozenset({_S.RUNNING, _S.FINISHING, _S.QUEUED}) | _ENDS_BADLY,
    _S.RUNNING: frozenset({_S.FINISHING, _S.QUEUED}) | _ENDS_BADLY,
    _S.FINISHING: frozenset({_S.SUCCEEDED, _S.QUEUED}) | _ENDS_BADLY,
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.LOST: frozenset(),
}
"""From each state, where a workload may go. Back to `queued` means: a new attempt."""


class Reason(StrEnum):
    """Why a workload moved, in one word; the message beside it is for people."""

    SUBMITTED = "submitted"
    HELD = "held"
    RELEASED = "released"
    PLACED = "placed"
    STAGING = "staging"
    STARTED = "started"
    EXITED = "exited"
    SIGNALED = "signaled"
    WALLTIME = "walltime"
    CANCELED = "canceled"
    RETRY = "retry"
    LOST = "lost"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    MEMORY = "memory"
    DEPENDENCY = "dependency"
    INTERNAL = "internal"


def may_move(old: WorkloadState, new: WorkloadState) -> bool:
    """Say whether the table allows this move."""
    return new in MOVES[old]
