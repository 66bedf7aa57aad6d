"""Events: facts in the past tense. Anyone may listen; folding them rebuilds every table."""

from __future__ import annotations

from typing import ClassVar

from .backends import BACKEND_EVENTS
from .batches import BatchId, BatchMember
from .catalog import CATALOG_EVENTS
from .fact import Event
from .file_events import FILE_EVENTS
from .files import Sha256
from .grants import Grant
from .hook_events import HOOK_EVENTS
from .identity_events import IDENTITY_EVENTS
from .ids import WorkloadId
from .mail_events import MAIL_EVENTS
from .model import Timestamp
from .parked_events import MessageDropped, MessageParked, MessageResent
from .principals import Principal
from .refusals import RequestRefused
from .runs import FrozenInput
from .schedules import RunOutcome, ScheduleId, ScheduleSpec, ScheduleState
from .spec import JobSpec
from .states import Reason, WorkloadState
from .tasks import TaskCounts, TaskFact, TaskGroup
from .transfers import TRANSFER_EVENTS, FileRefused
from .workloads import Allocation, Kind, OutputFile, Usage

__all__ = [
    "EVENTS",
    "BatchCreated",
    "CommandRefused",
    "Event",
    "FileDeleted",
    "FileRefused",
    "FileStored",
    "FolderShared",
    "FolderUnshared",
    "MessageDropped",
    "MessageParked",
    "MessageResent",
    "RequestRefused",
    "ScheduleChanged",
    "ScheduleCreated",
    "ScheduleDeleted",
    "ScheduleFired",
    "WorkloadAccepted",
    "WorkloadCancelRequested",
    "WorkloadMoved",
    "WorkloadRemoved",
    "WorkloadShared",
    "WorkloadTasksMoved",
    "WorkloadUnshared",
]


class _WorkloadEvent(Event):
    workload_id: WorkloadId
    owner: str
    project: str | None = None
    revision: int
    """The move this belongs to; counts from 1 without gaps for accepted and moved."""

    @property
    def subject_id(self) -> str:
        """Return the workload's identifier."""
        return self.workload_id


class WorkloadAccepted(_WorkloadEvent):
    """A workload was let in. The first event of each."""

    name: ClassVar[str] = "workload.accepted"
    is_move: ClassVar[bool] = True

    kind: Kind = Kind.JOB
    spec: JobSpec
    inputs: list[FrozenInput] = []
    retry_of: WorkloadId | None = None
    request_hash: str = ""
    schedule_id: ScheduleId | None = None
    batch_id: BatchId | None = None
    at: Timestamp
    items_of: WorkloadId | None = None
    """An array whose items are those of an earlier one."""
    number: int | None = None
    """None where an older release let it in."""
    shared_inputs: int | None = None
    """Of an array: how many of the first `inputs` are for all tasks."""


class WorkloadCancelRequested(_WorkloadEvent):
    """Somebody asked for the end of a workload; it has not ended yet."""

    name: ClassVar[str] = "workload.cancelrequested"

    message: str = ""
    at: Timestamp


class WorkloadMoved(_WorkloadEvent):
    """A workload moved. The subject's fact is the new state, so that a listener can pick."""

    name: ClassVar[str] = "workload.moved"
    is_move: ClassVar[bool] = True

    old: WorkloadState
    new: WorkloadState
    at: Timestamp
    attempt: int
    reason: Reason
    message: str = ""
    backend: str | None = None
    native_id: str | None = None
    exit_code: int | None = None
    allocation: Allocation | None = None
    """Given when the attempt starts to hold room: a usage segment opens."""
    usage: Usage | None = None
    """Given when the attempt gives it back: the segment closes."""
    outputs: list[OutputFile] = []
    logs: list[OutputFile] = []
    inputs: list[FrozenInput] | None = None
    """Given when its start brought files: all inputs that it has from now on."""
    cause: str | None = None
    """With the reason `dependency`: the workload whose end was at the root of it."""

    @property
    def subject_fact(self) -> str:
        """Return the new state."""
        return self.new.value


class WorkloadShared(_WorkloadEvent):
    """Somebody else may read or control a workload. `revision` is that of its last move."""

    name: ClassVar[str] = "workload.shared"

    grant: Grant
    at: Timestamp


class WorkloadUnshared(_WorkloadEvent):
    """A grant on a workload was taken back. `revision` is that of its last move."""

    name: ClassVar[str] = "workload.unshared"

    grant: Grant
    """As it was."""
    at: Timestamp


class WorkloadRemoved(_WorkloadEvent):
    """A workload is gone for everybody but the ledger and the auditors; what it left behind goes too.

    `revision` is that of its last move; one that has not ended is being cancelled.
    """

    name: ClassVar[str] = "workload.removed"

    at: Timestamp


class BatchCreated(Event):
    """Jobs were let in together; each has told of itself."""

    name: ClassVar[str] = "batch.created"

    batch_id: BatchId
    owner: str
    project: str | None = None
    batch_name: str | None = None
    members: list[BatchMember]
    request_hash: str = ""
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the batch's identifier."""
        return self.batch_id


class _ScheduleEvent(Event):
    schedule_id: ScheduleId
    owner: str
    project: str | None = None
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the schedule's identifier."""
        return self.schedule_id


class ScheduleCreated(_ScheduleEvent):
    """There is a new schedule."""

    name: ClassVar[str] = "schedule.created"

    spec: ScheduleSpec
    principal: Principal
    """In whose name its jobs are submitted."""
    request_hash: str = ""


class ScheduleChanged(_ScheduleEvent):
    """A schedule is another one now, was paused, resumed, or has come to its end."""

    name: ClassVar[str] = "schedule.changed"

    revision: int
    state: ScheduleState
    spec: ScheduleSpec


class ScheduleDeleted(_ScheduleEvent):
    """A schedule is gone."""

    name: ClassVar[str] = "schedule.deleted"


class ScheduleFired(_ScheduleEvent):
    """A run of a schedule was due: its job was submitted, or refused."""

    name: ClassVar[str] = "schedule.fired"

    scheduled_for: Timestamp
    job_id: WorkloadId
    outcome: RunOutcome
    message: str = ""
    by_hand: bool = False


class WorkloadTasksMoved(_WorkloadEvent):
    """Some tasks of an array moved; told in batches. `revision` is that of the workload's last move."""

    name: ClassVar[str] = "workload.tasksmoved"

    batch: int
    """Counts these events of one workload from 1, without gaps."""
    at: Timestamp
    bundle: int | None = None
    allocation: Allocation | None = None
    """The room that each of `tasks` held."""
    tasks: list[TaskFact] = []
    groups: list[TaskGroup] = []
    canceling: str = ""
    """Tasks whose end was asked for; they have not ended yet."""
    counts: TaskCounts
    """After this."""


class FileStored(Event):
    """A file is there, checked."""

    name: ClassVar[str] = "file.stored"

    owner: str
    path: str
    key: str
    size: int
    sha256: Sha256
    content_type: str = "application/octet-stream"
    workload_id: WorkloadId | None = None
    """The workload that left it behind, if one did."""
    upload: str = ""
    """What brought it, where the object came with another one; two files of equal content share an object."""
    restored_from: str = ""
    """The upload of the version that it was before, if it is one that was brought back."""
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the last name of what brought it, which is an identifier."""
        return (self.upload or self.key).rsplit("/", 1)[-1] or "none"


class FileDeleted(Event):
    """A file is gone."""

    name: ClassVar[str] = "file.deleted"

    owner: str
    path: str
    key: str
    upload: str = ""
    reason: str = "deleted"
    """`deleted`, `overwritten` by a move, `purged` (for good) or `expired`."""
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the last name of what brought it, which is an identifier."""
        return (self.upload or self.key).rsplit("/", 1)[-1] or "none"


class _FolderEvent(Event):
    owner: str
    path: str
    grant: Grant
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the owner: paths make no good subjects."""
        return self.owner


class FolderShared(_FolderEvent):
    """Somebody else may read a folder, or write into it."""

    name: ClassVar[str] = "folder.shared"


class FolderUnshared(_FolderEvent):
    """A grant on a folder was taken back; `grant` says how it was."""

    name: ClassVar[str] = "folder.unshared"


class CommandRefused(Event):
    """A service said no."""

    name: ClassVar[str] = "command.refused"

    owner: str | None = None
    command: str
    command_id: str
    code: str
    detail: str

    @property
    def subject_id(self) -> str:
        """Return the command's identifier."""
        return self.command_id


EVENTS: tuple[type[Event], ...] = (
    WorkloadAccepted,
    WorkloadCancelRequested,
    WorkloadMoved,
    WorkloadShared,
    WorkloadUnshared,
    WorkloadRemoved,
    BatchCreated,
    ScheduleCreated,
    ScheduleChanged,
    ScheduleDeleted,
    ScheduleFired,
    WorkloadTasksMoved,
    FileStored,
    FileDeleted,
    *TRANSFER_EVENTS,
    FolderShared,
    FolderUnshared,
    CommandRefused,
    MessageParked,
    MessageResent,
    MessageDropped,
    *HOOK_EVENTS,
    *CATALOG_EVENTS,
    *FILE_EVENTS,
    *MAIL_EVENTS,
    RequestRefused,
    *IDENTITY_EVENTS,
    *BACKEND_EVENTS,
)
"""Every event there is."""
