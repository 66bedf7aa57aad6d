"""What the REST API answers beyond the contracts, as a client reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from contracts.backends import BackendView
from contracts.batches import Batch
from contracts.envelope import Envelope
from contracts.files import FileRecord, Folder
from contracts.hook_queries import DeliveryPage, SubscriptionPage
from contracts.model import Model
from contracts.principals import Principal
from contracts.queries import BatchPage, SchedulePage
from contracts.states import WorkloadState
from contracts.workloads import OutputFile, Workload

__all__ = [
    "BackendList",
    "BatchList",
    "BatchSubmission",
    "DeliveryList",
    "EventItem",
    "EventPage",
    "FileList",
    "FileView",
    "JobPage",
    "JobView",
    "LogChunk",
    "LogEnd",
    "OutputList",
    "ScheduleList",
    "Submission",
    "SubscriptionList",
    "TaskLogPage",
    "TaskLogView",
    "WhoAmI",
]


class JobView(Workload):
    """A job with the addresses of what belongs to it."""

    links: dict[str, str | None] = {}
    """`self`, `history`, `logs`, `files`, and `temporal_ui` where operators look."""


class JobPage(Model):
    """Some jobs, newest first."""

    items: list[JobView]
    next_cursor: str | None = None


class TaskLogView(Model):
    """Where to read what one task printed."""

    index: int
    attempt: int
    stream: str
    size: int
    href: str


class TaskLogPage(Model):
    """What the tasks of an array printed, by their number."""

    items: list[TaskLogView]
    next_cursor: str | None = None


class Submission(Model):
    """What came of a submit. Without `job` the command is kept and will be handled when the scheduler is back."""

    id: str
    job: JobView | None = None
    repeated: bool = False
    """Whether this very request had been accepted before."""

    @property
    def is_pending(self) -> bool:
        """Say whether nobody has decided about it yet."""
        return self.job is None


class OutputList(Model):
    """The files that a job left behind."""

    items: list[OutputFile]


class BatchList(BatchPage):
    """Some batches, newest first, without their jobs."""


class BatchSubmission(Model):
    """What came of submitting a batch. Without `batch` the command is kept and will be handled later."""

    id: str
    batch: Batch | None = None
    repeated: bool = False
    """Whether this very request had been accepted before."""


class ScheduleList(SchedulePage):
    """Some schedules, newest first."""


class SubscriptionList(SubscriptionPage):
    """Some subscriptions, newest first."""


class DeliveryList(DeliveryPage):
    """Some deliveries, newest first."""


class FileView(FileRecord):
    """A file of somebody's; which object holds its bytes is storage's own."""

    key: str = Field(default="", exclude=True, repr=False)


class FileList(Model):
    """Some files, and the folders beside them when the listing stops at `/`."""

    items: list[FileView]
    folders: list[Folder] = []
    next_cursor: str | None = None


class EventItem(Model):
    """An event and its place in the log."""

    sequence: int
    event: Envelope


class EventPage(Model):
    """Some events, oldest first."""

    items: list[EventItem]
    next_sequence: int | None = None
    """Where to go on."""


class BackendList(Model):
    """The clusters."""

    items: list[BackendView]


class WhoAmI(Principal):
    """Whom the server takes the caller for."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of what a job printed, as bytes."""

    attempt: int
    stream: str
    """`stdout` or `stderr`."""
    offset: int
    """Of its first byte in the stream of this attempt."""
    data: bytes

    def to_json(self) -> dict[str, Any]:
        """Say it for scripts; bytes that are no UTF-8 are marked as in `errors="backslashreplace"`."""
        text = self.data.decode(errors="backslashreplace")
        return {"attempt": self.attempt, "stream": self.stream, "offset": self.offset, "text": text}


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Nothing more will be printed."""

    state: WorkloadState | None
    exit_code: int | None
