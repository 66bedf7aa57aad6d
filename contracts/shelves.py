"""What storage tells of more than one file: rules of folders, what all of it comes to, what files were before."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from .files import Sha256
from .model import Model, Timestamp
from .resources import Bytes, Span
from .spec import FilePath

__all__ = [
    "Amount",
    "FolderRoom",
    "FolderRule",
    "FolderRulePage",
    "FolderRuleSpec",
    "Gone",
    "OwnersPage",
    "OwnersUsage",
    "Purged",
    "Restored",
    "StorageUsage",
    "Version",
    "VersionId",
    "VersionPage",
]


class FolderRuleSpec(Model):
    """What holds for a folder and all that is in it."""

    quota: Bytes | None = None
    """What its files may come to, together with what is on its way; none does not limit it."""
    expires_after: Annotated[Span, Field(ge=timedelta(minutes=1), le=timedelta(days=36500))] | None = None
    """Files go to the trash so long after they came; none keeps them."""


class FolderRule(FolderRuleSpec):
    """A rule of a folder. Of several rules for a file each holds: the narrowest quota, the shortest time."""

    owner: str
    path: FilePath | None
    """The folder, without a `/` at its end; none is everything that the owner has."""
    changed_at: Timestamp
    changed_by: str
    """The subject of whoever said so."""


class FolderRulePage(Model):
    """All rules of an owner, by path."""

    items: list[FolderRule]


class FolderRoom(Model):
    """What one file in a folder can come to."""

    largest: int | None = None
    """Bytes; none is no limit."""


class Amount(Model):
    """Some files, and the bytes that they come to."""

    files: int = 0
    size: int = 0


class OwnersUsage(Amount):
    """What one owner's files come to."""

    owner: str


class OwnersPage(Model):
    """What owners' files come to, by owner."""

    items: list[OwnersUsage]
    next_cursor: str | None = None


class StorageUsage(OwnersUsage):
    """What an owner's files come to, and what is kept besides."""

    quota: int | None = None
    """Bytes that the files may come to, together with what is on its way."""
    uploads: Amount = Amount()
    """On their way, as announced."""
    versions: Amount = Amount()
    """What files were before they were overwritten; it does not count against the quota."""
    trash: Amount = Amount()
    """Deleted files that can be brought back; they do not count against the quota."""


VersionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Gone(StrEnum):
    """Why a file is not there any more as it was."""

    OVERWRITTEN = "overwritten"
    DELETED = "deleted"
    EXPIRED = "expired"
    """It grew older than a rule lets files grow."""


class Version(Model):
    """A file as it was before it was overwritten or deleted."""

    id: VersionId
    path: str
    owner: str
    size: int
    sha256: Sha256
    content_type: str = "application/octet-stream"
    created_at: Timestamp
    gone_at: Timestamp
    reason: Gone
    kept_until: Timestamp
    """Until then it can be brought back."""


class VersionPage(Model):
    """Some versions, those that went last first."""

    items: list[Version]
    next_cursor: str | None = None


class Restored(Model):
    """What became of a wish to bring files back."""

    path: str
    """Where they are; a folder ends with `/`."""
    restored: int


class Purged(Model):
    """What became of a wish to get rid of versions for good."""

    purged: int
