"""What users see: the records of the services, with links, without what concerns nobody."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.files import FileRecord, Folder
from contracts.model import Model
from contracts.ranges import MAX_RANGES
from contracts.spec import Input
from contracts.workloads import OutputFile, Workload
from services.gateway.links import JobLinks, Linker

__all__ = [
    "CancelWish",
    "FilePageView",
    "FileView",
    "JobFilesView",
    "JobPage",
    "JobView",
    "Pending",
    "PendingJob",
    "RetryWish",
    "StartWish",
    "TaskLogPage",
    "TaskLogView",
]


class JobView(Workload):
    """A job and where to go from it."""

    links: JobLinks

    @classmethod
    def of(cls, workload: Workload, linker: Linker) -> JobView:
        """Add the links; the record was checked when it was read."""
        return cls.model_construct(**workload.__dict__, links=linker.links_of(workload.id))


class CancelWish(Model):
    """What is to end."""

    tasks: str | None = Field(default=None, max_length=MAX_RANGES, examples=["3,7-10"])
    """Only these tasks of an array; by default the whole job."""


class RetryWish(Model):
    """What is to run again."""

    tasks: Literal["all", "failed"] = "all"
    """Of an array: all tasks, or those that failed or were lost."""


class StartWish(Model):
    """What a held job is to have when it goes."""

    inputs: list[Input] = Field(default=[], max_length=10_000)
    """Files besides those that it was submitted with, as they are now."""


class TaskLogView(Model):
    """Where to read what one task printed."""

    index: int
    attempt: int
    stream: str
    size: int
    href: str


class TaskLogPage(Model):
    """What the tasks of an array printed, by their number; tasks that printed nothing are passed over."""

    items: list[TaskLogView]
    next_cursor: str | None = None


class PendingJob(Model):
    """A job whose command is kept but not handled yet."""

    id: str
    status: Literal["pending"] = "pending"
    links: JobLinks


class Pending(Model):
    """Something whose command is kept but not handled yet."""

    id: str
    status: Literal["pending"] = "pending"


class JobPage(Model):
    """Some jobs, newest first."""

    items: list[JobView]
    next_cursor: str | None = None


class JobFilesView(Model):
    """What a job left behind: outputs and the archived logs of all attempts."""

    items: list[OutputFile]


class FileView(Model):
    """A file of somebody's."""

    path: str
    owner: str
    size: int
    sha256: str
    content_type: str
    created_at: str

    @classmethod
    def of(cls, record: FileRecord) -> FileView:
        """Leave out what is storage's own: the object that holds the bytes."""
        return cls.model_construct(**record.model_dump(mode="json", exclude={"key"}))


class FilePageView(Model):
    """Some files (and folders, if the listing stops at `/`), by path."""

    items: list[FileView]
    folders: list[Folder] = []
    next_cursor: str | None = None
