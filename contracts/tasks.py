"""The tasks of an array, as its owner sees them and as runner, scheduler and event log tell of them."""

from __future__ import annotations

from enum import StrEnum

from .holdings import OutputFile, Usage
from .model import Model, Timestamp
from .ranges import Ranges
from .states import Reason

__all__ = ["ENDED", "Task", "TaskCounts", "TaskFact", "TaskGroup", "TaskLog", "TaskState", "pack_path"]


class TaskState(StrEnum):
    """Where one task of an array stands."""

    PENDING = "pending"
    """Not handed to a runner: it has not been its turn yet, or waits for another attempt."""
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    LOST = "lost"

    @property
    def is_ended(self) -> bool:
        """Say whether nothing will change any more."""
        return self in ENDED


ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELED, TaskState.LOST})


class TaskCounts(Model):
    """How many tasks of an array stand where."""

    total: int
    pending: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    lost: int = 0
    batch: int = 0
    """The number of the last batch of facts that is in these figures; a larger one is newer."""
    has_items: bool = False

    @property
    def ended(self) -> int:
        """Return how many will change no more."""
        return self.succeeded + self.failed + self.canceled + self.lost


class TaskLog(Model):
    """Where the output of one attempt of a task lies: in a file that it shares with the tasks of its bundle."""

    attempt: int
    stream: str
    """`stdout` or `stderr`."""
    bundle: int
    offset: int
    size: int


def pack_path(bundle: int) -> str:
    """Return the file, below the job's folder, that holds the logs of all tasks of a bundle."""
    return f"logs/{bundle}/pack"


class TaskFact(Model):
    """What became of one task: said by its runner, and again by the scheduler in the event log."""

    index: int
    attempt: int = 1
    state: TaskState
    again: bool = False
    """There will be another attempt: the task is pending again."""
    reason: Reason | None = None
    message: str = ""
    exit_code: int | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    usage: Usage | None = None
    """Given when the attempt has held room and gives it back."""
    gpu_model: str | None = None
    outputs: list[OutputFile] = []
    logs: list[TaskLog] = []

    @property
    def new_state(self) -> TaskState:
        """Return where the task stands after this."""
        return TaskState.PENDING if self.again else self.state


class TaskGroup(Model):
    """Many tasks that went the same way at once."""

    indices: str
    """Such as `3,7-10`."""
    state: TaskState
    reason: Reason | None = None

    @property
    def size(self) -> int:
        """Return how many they are."""
        return len(Ranges.parse(self.indices))


class Task(Model):
    """One task of an array."""

    index: int
    item: str | None = None
    state: TaskState
    attempt: int = 0
    """0 before the first."""
    reason: Reason | None = None
    message: str = ""
    exit_code: int | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    usage: Usage | None = None
    """Of the last attempt."""
    outputs: list[OutputFile] = []
    """Below `outputs/` of the job."""
    logs: list[TaskLog] = []
    """Of all attempts that printed something and have ended."""
