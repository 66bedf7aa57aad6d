"""A file as storage keeps it, and why one is there no more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from contracts.files import FileRecord

__all__ = ["Reason", "StoredFile"]


class Reason(StrEnum):
    """Why a file is not there any more under its path."""

    OVERWRITTEN = "overwritten"
    DELETED = "deleted"
    EXPIRED = "expired"
    PURGED = "purged"
    """Deleted for good: nobody brings it back, only jobs that froze it may still fetch it."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file: who has it under what path, and the object that holds its bytes."""

    owner: str
    path: str
    key: str
    size: int
    sha256: str
    content_type: str
    workload_id: str | None
    created_at: datetime
    upload: str = ""
    """What brought it, by the key that was given to it: other than *key* if an object with this content was there."""

    def __post_init__(self) -> None:
        if not self.upload:
            object.__setattr__(self, "upload", self.key)

    @classmethod
    def from_row(cls, row: Row[Any]) -> StoredFile:
        """Read a row of `files` or `superseded`."""
        return cls(*(getattr(row, name) for name in cls.__dataclass_fields__))

    def to_record(self) -> FileRecord:
        """Tell of it."""
        return FileRecord(
            path=self.path,
            owner=self.owner,
            size=self.size,
            sha256=self.sha256,
            content_type=self.content_type,
            created_at=self.created_at,
            key=self.key,
        )
