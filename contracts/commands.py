"""Commands: wishes in the imperative. One service handles each, and may refuse."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from .files import PartDone
from .ids import WorkloadId
from .model import Message
from .principals import Principal
from .ranges import MAX_RANGES
from .spec import FilePath, JobSpec
from .workloads import Kind

__all__ = [
    "COMMANDS",
    "NO_TARGET",
    "CancelWorkload",
    "Command",
    "CompleteUpload",
    "DeleteFile",
    "RetryWorkload",
    "StartWorkload",
    "SubmitWorkload",
]


NO_TARGET = "none"
"""The last token of the subject of a command that is about nothing in particular: such commands know no order."""


class Command(Message):
    """A wish. Its subject is `commands.<service>.<noun>.<verb>.<id>`, computed in `contracts.subjects`."""

    service: ClassVar[str]

    @property
    def target_id(self) -> str:
        """Return the token that ends the subject; commands of one target are handled in order."""
        return NO_TARGET


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

    kind: Kind = Kind.JOB
    spec: JobSpec
    request_hash: str = ""
    """Of what the caller sent: another hash for the same identifier is a mismatch."""


class CancelWorkload(_WorkloadCommand):
    """End this workload, wherever it stands. Answered with the `Workload`."""

    name: ClassVar[str] = "workload.cancel"

    message: str = ""
    tasks: str | None = Field(default=None, max_length=MAX_RANGES)
    """Only these tasks of an array, such as `3,7-10`."""


class StartWorkload(_WorkloadCommand):
    """Let a held workload go. Answered with the `Workload`."""

    name: ClassVar[str] = "workload.start"


class RetryWorkload(_WorkloadCommand):
    """Run an ended workload again, as a new one. Answered with the new `Workload`."""

    name: ClassVar[str] = "workload.retry"

    new_id: WorkloadId
    request_hash: str = ""
    tasks: Literal["all", "failed"] = "all"
    """Of an array: which tasks; `failed` are those that failed or were lost."""


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


COMMANDS: tuple[type[Command], ...] = (
    SubmitWorkload,
    CancelWorkload,
    StartWorkload,
    RetryWorkload,
    CompleteUpload,
    DeleteFile,
)
"""Every command there is."""
