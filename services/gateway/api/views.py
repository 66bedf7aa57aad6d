"""What users see: the records of the services, with links, without what concerns nobody."""

from __future__ import annotations

from typing import Literal

from contracts.files import FileRecord, Folder
from contracts.model import Model
from contracts.workloads import OutputFile, Workload
from services.gateway.links import JobLinks, Linker

__all__ = [
    "FilePageView",
    "FileView",
    "JobFilesView",
    "JobPage",
    "JobView",
    "Pending",
    "PendingJob",
]


class JobView(Workload):
    """A job and where to go from it."""

    links: JobLinks

    @classmethod
    def of(cls, workload: Workload, linker: Linker) -> JobView:
        """Add the links; the record was checked when it was read."""
        return cls.model_construct(**workload.__dict__, links=linker.links_of(workload.id))


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
