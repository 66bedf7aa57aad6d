"""Events about the names of files: with those of files they are all that it takes to tell who has what."""

from __future__ import annotations

from typing import ClassVar

from .fact import Event
from .model import Timestamp
from .shelves import FolderRule, Gone

__all__ = [
    "FILE_EVENTS",
    "FileMoved",
    "FolderMade",
    "FolderMoved",
    "FolderRemoved",
    "FolderRuled",
    "FolderUnruled",
    "VersionsPurged",
]


class FileMoved(Event):
    """A file has another name; its bytes are the same."""

    name: ClassVar[str] = "file.moved"

    owner: str
    path: str
    to: str
    key: str
    upload: str
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the last name of what brought it, which is an identifier."""
        return self.upload.rsplit("/", 1)[-1] or "none"


class _FolderEvent(Event):
    owner: str
    path: str
    """Without a `/` at its end."""
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the owner: paths make no good subjects."""
        return self.owner


class FolderMade(_FolderEvent):
    """A folder is there, also while nothing is in it."""

    name: ClassVar[str] = "folder.made"


class FolderRemoved(_FolderEvent):
    """A folder that was made is there no more, unless something is still in it."""

    name: ClassVar[str] = "folder.removed"


class FolderMoved(_FolderEvent):
    """A folder has another name, and so has all that is in it: files and folders that were made."""

    name: ClassVar[str] = "folder.moved"

    to: str
    files: int
    """How many files went along."""


class _RuleEvent(Event):
    owner: str
    rule: FolderRule
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the owner: paths make no good subjects."""
        return self.owner


class FolderRuled(_RuleEvent):
    """A rule holds for a folder, instead of what held before."""

    name: ClassVar[str] = "folder.ruled"


class FolderUnruled(_RuleEvent):
    """A rule holds no more; `rule` says how it was."""

    name: ClassVar[str] = "folder.unruled"


class VersionsPurged(Event):
    """What files were before can be brought back no more."""

    name: ClassVar[str] = "version.purged"

    owner: str
    path: str | None
    """Only of this file, and of what was in the folder of this name."""
    reasons: list[Gone]
    upload: str | None = None
    """Only of the file that this brought."""
    versions: int
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the owner: it is about many."""
        return self.owner


FILE_EVENTS: tuple[type[Event], ...] = (
    FileMoved,
    FolderMade,
    FolderMoved,
    FolderRemoved,
    FolderRuled,
    FolderUnruled,
    VersionsPurged,
)
"""All of them."""
