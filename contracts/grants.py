"""Grants: what an owner lets others do with a job or a folder of files."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from .ids import WorkloadId
from .model import Model, Timestamp
from .principals import Principal
from .query import Query
from .spec import FilePath

__all__ = [
    "MOST_GRANTS",
    "FolderGrants",
    "FoldersSharedWith",
    "Grant",
    "GrantPage",
    "Grantee",
    "Right",
    "WorkloadGrants",
    "WorkloadsSharedWith",
    "folder_resource",
    "job_resource",
]

MOST_GRANTS = 1000
"""Grants that one job or folder may have."""

_KINDS = {"user", "project", "token"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+=-]{0,255}")


def _check_grantee(value: str) -> str:
    kind, _, name = value.partition(":")
    if kind not in _KINDS or not _NAME.fullmatch(name):
        raise ValueError("must be user:<subject>, project:<name> or token:<id>")
    return value


Grantee = Annotated[str, StringConstraints(min_length=6, max_length=264), AfterValidator(_check_grantee)]
"""Who is let in: `user:<subject>`, `project:<name>` (all its members) or `token:<id>`."""


class Right(StrEnum):
    """What is granted."""

    READ = "read"
    """Look: the record, its history, logs, files and events."""
    CONTROL = "control"
    """Also steer a job, or write into a folder; never share it further or delete it."""


class Grant(Model):
    """One right on one thing for one grantee."""

    resource: str = Field(examples=["job:job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b", "folder:data/shared"])
    """`job:<id>` or `folder:<path>`."""
    owner: str
    """Whose thing it is."""
    grantee: Grantee
    right: Right
    created_at: Timestamp
    created_by: str
    """The subject of whoever shared it."""
    expires_at: Timestamp | None = None
    """From then on it is as if it were not there."""

    @property
    def job_id(self) -> str | None:
        """Return the job that it is about, if it is about one."""
        kind, _, name = self.resource.partition(":")
        return name if kind == "job" else None

    @property
    def folder(self) -> str | None:
        """Return the folder that it is about, if it is about one."""
        kind, _, name = self.resource.partition(":")
        return name if kind == "folder" else None

    def is_good_at(self, moment: datetime) -> bool:
        """Say whether it has not expired by *moment*."""
        return self.expires_at is None or self.expires_at > moment


def job_resource(job_id: str) -> str:
    """Return the word for a job."""
    return f"job:{job_id}"


def folder_resource(path: str) -> str:
    """Return the word for a folder."""
    return f"folder:{path}"


class GrantPage(Model):
    """Some grants, newest first."""

    items: list[Grant]
    next_cursor: str | None = None


class _Paged(Query):
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = GrantPage

    principal: Principal
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = None


class WorkloadGrants(_Paged):
    """Give me the grants on one workload; a grantee is told of their own only."""

    name: ClassVar[str] = "workload.grants"

    workload_id: WorkloadId
    grantee: Grantee | None = None
    """Only this one's."""


class WorkloadsSharedWith(_Paged):
    """Give me what others share with the principal, newest first."""

    name: ClassVar[str] = "workload.sharedwith"


class FolderGrants(_Paged):
    """Give me the grants on one folder, or on all folders of an owner; a grantee is told of their own only."""

    name: ClassVar[str] = "folder.grants"
    service: ClassVar[str] = "storage"

    owner: str | None = None
    """Whose folder; by default the principal's."""
    path: FilePath | None = None
    grantee: Grantee | None = None
    """Only this one's."""


class FoldersSharedWith(_Paged):
    """Give me the folders that others share with the principal, newest first."""

    name: ClassVar[str] = "folder.sharedwith"
    service: ClassVar[str] = "storage"
