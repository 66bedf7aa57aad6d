"""What workflows, their activities and those who signal them say to each other. Temporal keeps it: never a secret."""

from __future__ import annotations

from contracts.model import Model
from contracts.states import Reason, WorkloadState

__all__ = [
    "ArrayEnd",
    "ArrayStanding",
    "AttemptEnd",
    "AttemptRef",
    "Cancellation",
    "Ending",
    "JobInput",
    "JobResult",
    "Move",
    "Recall",
    "Submitted",
]


class Cancellation(Model):
    """Somebody wants the workload to end. A signal."""

    message: str = ""


class JobInput(Model):
    """What the workflow must know to decide; everything else lies in the scheduler's tables."""

    workload_id: str
    hold: bool = False
    max_retries: int = 0
    backoff: float = 5.0
    """Seconds."""
    walltime: float
    """Seconds."""
    array: bool = False
    resumed: bool = False
    """An array whose tasks are being handed out already: its earlier history became too long."""
    cancellation: Cancellation | None = None
    """What an earlier part of the history had heard."""


class AttemptRef(Model):
    """One attempt of a workload."""

    workload_id: str
    attempt: int
    message: str = ""


class Submitted(Model):
    """Where an attempt went; without a backend it was refused everywhere, for the reason in the message."""

    backend: str | None
    message: str = ""


class AttemptEnd(Model):
    """How an attempt ended, as its runner or the watch says. A signal; the same one twice is harmless."""

    attempt: int
    reason: Reason
    exit_code: int | None = None
    message: str = ""


class Ending(Model):
    """What came of asking a backend to end an attempt."""

    gone: bool
    """Nothing is left, and no report will come."""


class Move(Model):
    """A move that the workflow decided."""

    workload_id: str
    state: WorkloadState
    reason: Reason
    message: str = ""
    exit_code: int | None = None


class JobResult(Model):
    """How the workload ended, for the operator who looks at the workflow."""

    state: WorkloadState
    attempts: int
    exit_code: int | None = None
    message: str = ""


class Recall(Model):
    """Somebody wants some tasks of an array to end. A signal, and the wish that an activity fulfils."""

    tasks: str | None = None
    """Such as `3,7-10`; none means all, and nothing that there is only news."""


class ArrayStanding(Model):
    """How an array stands after what could be handed out was."""

    over: bool
    pause: float | None = None
    """Seconds until another task may be handed out, if nothing else happens before."""


class ArrayEnd(Model):
    """How an array ended."""

    state: WorkloadState
    reason: Reason
    message: str = ""
