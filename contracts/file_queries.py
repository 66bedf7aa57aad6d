"""Questions about folders, what all files come to, and what they were before."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from .files import FolderRecord
from .principals import Principal
from .query import Query
from .shelves import FolderRoom, FolderRulePage, Gone, OwnersPage, StorageUsage, VersionPage
from .spec import FilePath

__all__ = ["FILE_QUERIES", "CheckRoom", "GetFolder", "GetStorageUsage", "ListFolderRules", "ListOwners", "ListVersions"]


class GetFolder(Query):
    """Give me what a folder holds. A folder is there if it was made, or if a file is in it."""

    name: ClassVar[str] = "folder.get"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = FolderRecord

    principal: Principal
    path: FilePath
    """Without a `/` at its end."""
    owner: str | None = None
    """Whose folder; by default the principal's."""


class _OwnersQuery(Query):
    service: ClassVar[str] = "storage"

    principal: Principal
    owner: str | None = None
    """Whose files; by default the principal's."""


class CheckRoom(_OwnersQuery):
    """Say how large one file in a folder can be at most, or refuse one that no room will ever be enough for.

    Asked before bytes are taken that do not go to the store at once.
    """

    name: ClassVar[str] = "file.room"
    answer: ClassVar[Any] = FolderRoom

    folder: FilePath
    size: int = Field(ge=0, le=2**63 - 1)


class ListFolderRules(_OwnersQuery):
    """Give me all rules of an owner's folders."""

    name: ClassVar[str] = "folder.rules"
    answer: ClassVar[Any] = FolderRulePage


class GetStorageUsage(_OwnersQuery):
    """Give me what an owner's files come to."""

    name: ClassVar[str] = "storage.usage"
    answer: ClassVar[Any] = StorageUsage


class ListOwners(Query):
    """Give me what everybody's files come to."""

    name: ClassVar[str] = "storage.owners"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = OwnersPage

    principal: Principal
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = None


class ListVersions(_OwnersQuery):
    """Give me a page of what files were before, those that went last first."""

    name: ClassVar[str] = "version.list"
    answer: ClassVar[Any] = VersionPage

    path: FilePath | None = None
    """Only of this file, and of what is in the folder of this name."""
    reasons: list[Gone] = list(Gone)
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = None


FILE_QUERIES: tuple[type[Query], ...] = (
    CheckRoom,
    GetFolder,
    ListFolderRules,
    GetStorageUsage,
    ListOwners,
    ListVersions,
)
"""All of them."""
