"""What workflows, their activities and those who signal them say to each other. Temporal keeps it: never a secret."""

from __future__ import annotations

from contracts.model import Model
from contracts.states import Reason, WorkloadState

__all__ = ["AttemptEnd", "AttemptRef", "Cancellation", "Ending", "JobInput", "JobResult", "Move", "Submitted"]


class JobInput(Model):
    """What the workflow must know to decide; everything else lies in the scheduler's tables."""

    workload_id: str
    hold: bool = False
    max_retries: int = 0
    backoff: float = 5.0
    """Seconds."""
    walltime: float
    """Seconds."""
    backend: str | None = None
    """Where its first attempt goes; none lets the activity choose, as for all further ones."""


class AttemptRef(Model):
    """One attempt of a workload."""

    workload_id: str
    attempt: int
    message: str = ""
    backend: str | None = None
    """Where it goes, if that was decided already."""


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


class Cancellation(Model):
    """Somebody wants the workload to end. A signal."""

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
