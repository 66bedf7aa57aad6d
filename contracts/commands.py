"""Commands: wishes in the imperative. One service handles each, and may refuse."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from .backends import BACKEND_COMMANDS
from .batches import BatchId, BatchSpec
from .command import NO_TARGET, Command
from .file_commands import FILE_COMMANDS
from .files import PartDone
from .grants import Grantee, Right
from .hook_commands import HOOK_COMMANDS
from .ids import WorkloadId
from .leases import LEASE_COMMANDS
from .mail_commands import MAIL_COMMANDS
from .model import Timestamp
from .principals import Principal
from .ranges import MAX_RANGES
from .schedules import ScheduleId, ScheduleSpec
from .spec import FilePath, Input, JobSpec
from .workloads import Kind

__all__ = [
    "COMMANDS",
    "NO_TARGET",
    "CancelBatch",
    "CancelWorkload",
    "Command",
    "CompleteUpload",
    "CreateBatch",
    "CreateSchedule",
    "DeleteFile",
    "DeleteSchedule",
    "HoldWorkload",
    "PauseSchedule",
    "RemoveWorkload",
    "ReplaceSchedule",
    "ResumeSchedule",
    "RetryWorkload",
    "ShareFolder",
    "ShareWorkload",
    "StartWorkload",
    "SubmitWorkload",
    "TriggerSchedule",
    "UnshareFolder",
    "UnshareWorkload",
]


class _WorkloadCommand(Command):
    service: ClassVar[str] = "scheduler"

    workload_id: WorkloadId
    principal: Principal

    @property
    def target_id(self) -> str:
        """Return the workload's identifier."""
        return self.workload_id


class SubmitWorkload(_WorkloadCommand):
    """Run this. Answered with the `Workload`; the same identifier and request twice make one workload."""

    name: ClassVar[str] = "workload.submit"
    makes: ClassVar[str] = "workload_id"
    is_direct: ClassVar[bool] = True

    kind: Kind = Kind.JOB
    spec: JobSpec
    request_hash: str = ""
    """Of what the caller sent: another hash for the same identifier is a mismatch."""
    schedule_id: ScheduleId | None = None
    """The schedule that asks, if none of its owner's programs did."""


class CancelWorkload(_WorkloadCommand):
    """End this workload, wherever it stands. Answered with the `Workload`."""

    name: ClassVar[str] = "workload.cancel"

    message: str = ""
    tasks: str | None = Field(default=None, max_length=MAX_RANGES)
    """Only these tasks of an array, such as `3,7-10`."""


class HoldWorkload(_WorkloadCommand):
    """Keep a workload that was not handed to a backend yet from starting. Answered with the `Workload`."""

    name: ClassVar[str] = "workload.hold"

    message: str = ""


class StartWorkload(_WorkloadCommand):
    """Let a held workload go, as far as nothing else holds it up. Answered with the `Workload`."""

    name: ClassVar[str] = "workload.start"

    inputs: list[Input] = Field(default=[], max_length=10_000)
    """Files that it is to have besides those of its spec, as they are now; one with the same place is there instead."""


class RetryWorkload(_WorkloadCommand):
    """Run an ended workload again, as a new one. Answered with the new `Workload`."""

    name: ClassVar[str] = "workload.retry"
    makes: ClassVar[str] = "new_id"

    new_id: WorkloadId
    request_hash: str = ""
    tasks: Literal["all", "failed"] = "all"
    """Of an array: which tasks; `failed` are those that failed or were lost."""


class ShareWorkload(_WorkloadCommand):
    """Let somebody else read or control this workload. Answered with the `Grant`; another one replaces it."""

    name: ClassVar[str] = "workload.share"

    grantee: Grantee
    right: Right = Right.READ
    expires_at: Timestamp | None = None


class UnshareWorkload(_WorkloadCommand):
    """Take a grant back. Answered with the `Grant` that there was."""

    name: ClassVar[str] = "workload.unshare"

    grantee: Grantee


class RemoveWorkload(_WorkloadCommand):
    """Have a workload gone: it is cancelled first if it has not ended. Answered with the `Workload` as it was."""

    name: ClassVar[str] = "workload.remove"


class _BatchCommand(Command):
    service: ClassVar[str] = "scheduler"

    batch_id: BatchId
    principal: Principal

    @property
    def target_id(self) -> str:
        """Return the batch's identifier."""
        return self.batch_id


class CreateBatch(_BatchCommand):
    """Run these, all or none. Answered with the `Batch`; the same identifier and request twice make one batch."""

    name: ClassVar[str] = "batch.create"
    makes: ClassVar[str] = "batch_id"

    spec: BatchSpec
    request_hash: str = ""


class CancelBatch(_BatchCommand):
    """End all jobs of a batch, wherever they stand. Answered with the `Batch`."""

    name: ClassVar[str] = "batch.cancel"

    message: str = ""


class _ScheduleCommand(Command):
    service: ClassVar[str] = "scheduler"

    schedule_id: ScheduleId
    principal: Principal

    @property
    def target_id(self) -> str:
        """Return the schedule's identifier."""
        return self.schedule_id


class CreateSchedule(_ScheduleCommand):
    """Run a job again and again. Answered with the `Schedule`; the same identifier twice makes one."""

    name: ClassVar[str] = "schedule.create"
    makes: ClassVar[str] = "schedule_id"

    spec: ScheduleSpec
    request_hash: str = ""


class ReplaceSchedule(_ScheduleCommand):
    """Let a schedule be as *spec* says from now on. Answered with the `Schedule`."""

    name: ClassVar[str] = "schedule.replace"

    spec: ScheduleSpec
    revision: int | None = None
    """Only if it still has this one."""


class PauseSchedule(_ScheduleCommand):
    """Make no more jobs until it is resumed. Answered with the `Schedule`."""

    name: ClassVar[str] = "schedule.pause"


class ResumeSchedule(_ScheduleCommand):
    """Go on making jobs; those of the pause are not made up for. Answered with the `Schedule`."""

    name: ClassVar[str] = "schedule.resume"


class TriggerSchedule(_ScheduleCommand):
    """Make one job now, whatever is running. Answered with the `ScheduleRun`."""

    name: ClassVar[str] = "schedule.trigger"

    at: Timestamp
    """When it was asked for: the same moment twice is one run."""


class DeleteSchedule(_ScheduleCommand):
    """Make no more jobs, ever; what it made stays. Answered with the `Schedule`."""

    name: ClassVar[str] = "schedule.delete"


class CompleteUpload(Command):
    """All parts are there: check them and make the file. Answered with the `FileRecord`."""

    name: ClassVar[str] = "upload.complete"
    service: ClassVar[str] = "storage"

    ticket: str
    parts: list[PartDone] = []


class DeleteFile(Command):
    """Remove a file, or a folder with all that is in it. Answered with `{"deleted": N}`."""

    name: ClassVar[str] = "file.delete"
    service: ClassVar[str] = "storage"

    principal: Principal
    path: FilePath
    recursive: bool = False
    forever: bool = False
    """Whether nobody can bring it back, although the site has a trash."""


class _FolderCommand(Command):
    service: ClassVar[str] = "storage"

    principal: Principal
    path: FilePath
    """The folder, without a `/` at its end."""
    owner: str | None = None
    """Whose folder; by default the principal's."""
    grantee: Grantee

    @property
    def target_id(self) -> str:
        """Return the owner, whose grants are changed in order."""
        return self.owner or self.principal.subject


class ShareFolder(_FolderCommand):
    """Let somebody else read a folder, or write into it. Answered with the `Grant`; another one replaces it."""

    name: ClassVar[str] = "folder.share"

    right: Right = Right.READ
    expires_at: Timestamp | None = None


class UnshareFolder(_FolderCommand):
    """Take a grant back. Answered with the `Grant` that there was."""

    name: ClassVar[str] = "folder.unshare"


COMMANDS: tuple[type[Command], ...] = (
    SubmitWorkload,
    CancelWorkload,
    HoldWorkload,
    StartWorkload,
    RetryWorkload,
    ShareWorkload,
    UnshareWorkload,
    RemoveWorkload,
    CreateBatch,
    CancelBatch,
    CreateSchedule,
    ReplaceSchedule,
    PauseSchedule,
    ResumeSchedule,
    TriggerSchedule,
    DeleteSchedule,
    CompleteUpload,
    DeleteFile,
    *HOOK_COMMANDS,
    *LEASE_COMMANDS,
    *MAIL_COMMANDS,
    ShareFolder,
    UnshareFolder,
    *FILE_COMMANDS,
    *BACKEND_COMMANDS,
)
"""Every command there is."""
