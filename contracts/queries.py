"""Queries: questions to the owner of the data. Request/reply on `queries.<service>.<noun>.<verb>`."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from .backends import BackendView, GetBackend, ListBackends
from .batches import BatchId
from .catalog import ListApplications
from .checks import CheckHealth, Diagnose, Health
from .explanations import Explanation
from .file_queries import FILE_QUERIES
from .files import DownloadUrl, FileRecord, Folder, Sha256, UploadPlan
from .glances import GlanceWorkloads
from .grants import FolderGrants, FoldersSharedWith, WorkloadGrants, WorkloadsSharedWith
from .hook_queries import HOOK_QUERIES
from .ids import WorkloadId
from .leases import LEASE_QUERIES
from .mail_queries import MAIL_QUERIES
from .many import BatchPage, GetBatch, GetSchedule, ListBatches, ListSchedules, SchedulePage
from .model import Model, Timestamp
from .numbers import FindWorkload
from .pilots import NextTask
from .placements import PlacementView, PlaceWorkload
from .principals import Principal
from .query import Query, Reply
from .run_queries import CheckRunRoom, DownloadRunInputs, OpenRunUpload, RunDownloads
from .runs import FrozenInput
from .schedules import ScheduleId
from .spec import FilePath, Input
from .states import WorkloadState
from .task_queries import GetTask, ListTasks, TaskPage
from .transfers import TRANSFER_QUERIES
from .usage import GroupBy, ReplayReport, UsageSummary
from .workloads import Transition, Workload

__all__ = [
    "QUERIES",
    "BackendView",
    "BatchPage",
    "CheckHealth",
    "CheckRunRoom",
    "Diagnose",
    "DownloadFile",
    "DownloadRunInputs",
    "ExplainWorkload",
    "FilePage",
    "FindWorkload",
    "FolderGrants",
    "FoldersSharedWith",
    "FreezeInputs",
    "Frozen",
    "GetBackend",
    "GetBatch",
    "GetFile",
    "GetHistory",
    "GetSchedule",
    "GetTask",
    "GetWorkload",
    "Health",
    "History",
    "ListApplications",
    "ListBackends",
    "ListBatches",
    "ListFiles",
    "ListSchedules",
    "ListTasks",
    "ListWorkloads",
    "NextTask",
    "OpenRunUpload",
    "OpenUpload",
    "PlaceWorkload",
    "PlacementView",
    "Query",
    "ReplayLog",
    "Reply",
    "ResumeUpload",
    "RunDownloads",
    "SchedulePage",
    "SumUsage",
    "TaskPage",
    "WorkloadGrants",
    "WorkloadPage",
    "WorkloadsSharedWith",
]


class GetWorkload(Query):
    """Give me one workload."""

    name: ClassVar[str] = "workload.get"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Workload

    principal: Principal
    workload_id: WorkloadId


class History(Model):
    """All moves of a workload, oldest first."""

    workload_id: WorkloadId
    transitions: list[Transition]


class GetHistory(Query):
    """Give me the moves of one workload."""

    name: ClassVar[str] = "workload.history"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = History

    principal: Principal
    workload_id: WorkloadId


class ExplainWorkload(Query):
    """Tell me why a workload is where it is."""

    name: ClassVar[str] = "workload.explain"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Explanation

    principal: Principal
    workload_id: WorkloadId


class WorkloadPage(Model):
    """Some workloads, newest first."""

    items: list[Workload]
    next_cursor: str | None = None


class ListWorkloads(Query):
    """Give me a page of the workloads that the principal may see."""

    name: ClassVar[str] = "workload.list"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = WorkloadPage

    principal: Principal
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str | None = None
    states: list[WorkloadState] = []
    owner: str | None = None
    project: str | None = None
    backend: str | None = None
    job_name: str | None = None
    number: int | None = None
    label: dict[str, str] = {}
    schedule_id: ScheduleId | None = None
    batch_id: BatchId | None = None
    created_after: Timestamp | None = None
    created_before: Timestamp | None = None
    shared: bool | None = None
    """Only those that others share with the principal, or only the others."""


class GetFile(Query):
    """Give me the record of one file."""

    name: ClassVar[str] = "file.get"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = FileRecord

    principal: Principal
    path: FilePath
    owner: str | None = None
    """Whose file; by default the principal's."""


class FilePage(Model):
    """Some files (and folders, if the listing stops at `/`), by path."""

    items: list[FileRecord]
    folders: list[Folder] = []
    next_cursor: str | None = None


class ListFiles(Query):
    """Give me a page of files below a prefix."""

    name: ClassVar[str] = "file.list"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = FilePage

    principal: Principal
    prefix: str = Field(default="", max_length=1024)
    recursive: bool = True
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = None
    owner: str | None = None


class DownloadFile(Query):
    """Give me a URL to GET one file."""

    name: ClassVar[str] = "file.download"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = DownloadUrl

    principal: Principal
    path: FilePath
    owner: str | None = None
    expires: float = Field(default=3600, gt=0, le=7 * 86400)
    """Seconds."""


class OpenUpload(Query):
    """Give me URLs to PUT a new file. Answered with an `UploadPlan`."""

    name: ClassVar[str] = "upload.open"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = UploadPlan

    principal: Principal
    path: FilePath
    size: int = Field(ge=0, le=5 * 2**40)
    sha256: Sha256 | None = None
    """None lets storage compute it at completion."""
    reuse: bool = False
    """Whether nothing need be brought if the owner has a file of this content: the plan has no parts then."""
    content_type: str = Field(default="application/octet-stream", max_length=256, pattern=r"^[\x20-\x7e]+$")
    expires: float = Field(default=3600, gt=0, le=7 * 86400)
    owner: str | None = None
    """Whose file it shall be; by default the principal's."""


class ResumeUpload(Query):
    """Tell me which parts of an upload are there and give me new URLs for the rest. Answered with an `UploadPlan`."""

    name: ClassVar[str] = "upload.resume"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = UploadPlan

    principal: Principal
    ticket: str


class Frozen(Model):
    """The inputs as they are now."""

    inputs: list[FrozenInput]


class FreezeInputs(Query):
    """Resolve inputs for a submit; a missing one is refused with its place in the list."""

    name: ClassVar[str] = "inputs.freeze"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = Frozen

    principal: Principal
    inputs: list[Input]


class SumUsage(Query):
    """Sum up what was used."""

    name: ClassVar[str] = "usage.sum"
    service: ClassVar[str] = "accounting"
    answer: ClassVar[Any] = UsageSummary

    principal: Principal
    group_by: list[GroupBy] = [GroupBy.OWNER, GroupBy.PROJECT, GroupBy.DAY]
    owner: str | None = None
    project: str | None = None
    backend: str | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None


class ReplayLog(Query):
    """Rebuild the figures from the event log alone and compare. Answered with a `ReplayReport`."""

    name: ClassVar[str] = "usage.replay"
    service: ClassVar[str] = "accounting"
    answer: ClassVar[Any] = ReplayReport

    principal: Principal


QUERIES: tuple[type[Query], ...] = (
    GetWorkload,
    GetHistory,
    ExplainWorkload,
    ListWorkloads,
    WorkloadGrants,
    WorkloadsSharedWith,
    GlanceWorkloads,
    FindWorkload,
    GetBatch,
    ListBatches,
    GetSchedule,
    ListSchedules,
    ListTasks,
    GetTask,
    ListBackends,
    GetBackend,
    PlaceWorkload,
    ListApplications,
    GetFile,
    ListFiles,
    DownloadFile,
    OpenUpload,
    ResumeUpload,
    FreezeInputs,
    FolderGrants,
    FoldersSharedWith,
    DownloadRunInputs,
    CheckRunRoom,
    OpenRunUpload,
    NextTask,
    SumUsage,
    ReplayLog,
    CheckHealth,
    Diagnose,
    *HOOK_QUERIES,
    *LEASE_QUERIES,
    *TRANSFER_QUERIES,
    *FILE_QUERIES,
    *MAIL_QUERIES,
)
"""Every question there is."""
