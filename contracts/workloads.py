"""A workload as its owner sees it."""

from __future__ import annotations

from enum import StrEnum

from .holdings import Allocation, OutputFile, Usage
from .ids import WorkloadId
from .model import Model, Timestamp
from .schedules import ScheduleId
from .spec import JobSpec
from .states import Reason, WorkloadState
from .tasks import TaskCounts

__all__ = ["Allocation", "Kind", "OutputFile", "Transition", "Usage", "Workload"]


class Kind(StrEnum):
    """What sort of thing was asked for."""

    JOB = "job"


class Transition(Model):
    """One move of a workload from state to state."""

    revision: int
    """Counts the moves of one workload, from 1."""
    state: WorkloadState
    at: Timestamp
    attempt: int
    reason: Reason
    message: str = ""
    backend: str | None = None
    native_id: str | None = None
    exit_code: int | None = None
    allocation: Allocation | None = None
    """Given when the attempt starts to hold room."""
    usage: Usage | None = None
    """Given when the attempt gives it back."""


class Workload(Model):
    """A workload: what was asked, where it stands, how it went."""

    id: WorkloadId
    number: int | None = None
    """Counts all workloads of the site and is never given twice; none for those that an older release let in."""
    kind: Kind = Kind.JOB
    owner: str
    project: str | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    spec: JobSpec
    state: WorkloadState
    reason: Reason
    message: str = ""
    attempt: int = 1
    backend: str | None = None
    native_id: str | None = None
    exit_code: int | None = None
    revision: int = 1
    """The number of its moves; a larger one is newer."""
    phase: str = ""
    """How far its backend has come within this state, in the backend's own word, such as `preprocessing`."""
    cancel_requested: bool = False
    retry_of: WorkloadId | None = None
    schedule_id: ScheduleId | None = None
    """The schedule that made it, if one did."""
    batch_id: str | None = None
    """The batch that it came with, if it did."""
    cause: WorkloadId | None = None
    """Whose end made this be canceled: the root of the chain of those that waited for each other."""
    created_at: Timestamp
    updated_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    allocation: Allocation | None = None
    usage: Usage | None = None
    """Of the last attempt."""
    outputs: list[OutputFile] = []
    logs: list[OutputFile] = []
    """The archived logs of all attempts, as `logs/<attempt>/<stdout|stderr>`."""
    tasks: TaskCounts | None = None
    """Of an array: how many of its tasks stand where."""
    tail: str = ""
    """The end of what the program of the last attempt printed, as it was when its runner spoke last: at most 1000
    characters of both streams together."""
