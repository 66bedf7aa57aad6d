"""Commands about the names of files: folders and their rules, moves, what files were before."""

from __future__ import annotations

from typing import ClassVar

from .command import Command
from .principals import Principal
from .shelves import FolderRuleSpec, Gone, VersionId
from .spec import FilePath

__all__ = [
    "FILE_COMMANDS",
    "DropFolderRule",
    "MakeFolder",
    "MoveFile",
    "PurgeVersions",
    "RestoreFile",
    "RestoreVersion",
    "SetFolderRule",
]


class _NamesCommand(Command):
    service: ClassVar[str] = "storage"

    principal: Principal

    @property
    def target_id(self) -> str:
        """Return the owner, whose names are changed in order."""
        return self.principal.subject


class MakeFolder(_NamesCommand):
    """Let there be a folder, also while nothing is in it; one that is there stays. Answered with the `Folder`."""

    name: ClassVar[str] = "folder.make"

    path: FilePath
    """Without a `/` at its end."""


class MoveFile(_NamesCommand):
    """Give a file, or a folder with all that is in it, another name: all of it or nothing. Answered with `Moved`."""

    name: ClassVar[str] = "file.move"

    path: FilePath
    to: FilePath
    folder: bool = False
    """Whether *path* is a folder, and *to* the name that it shall have."""
    replace: bool = False
    """Whether what is at *to* may be overwritten: versions of it are kept as of any file that is overwritten."""


class _RuleCommand(_NamesCommand):
    path: FilePath | None = None
    """The folder, without a `/` at its end; none is everything that the owner has, which only admins bound."""
    owner: str | None = None
    """Whose folder; by default the principal's."""

    @property
    def target_id(self) -> str:
        """Return the owner, whose rules are changed in order."""
        return self.owner or self.principal.subject


class SetFolderRule(_RuleCommand):
    """Let this hold for a folder from now on, instead of what held before. Answered with the `FolderRule`."""

    name: ClassVar[str] = "folder.rule"

    rule: FolderRuleSpec


class DropFolderRule(_RuleCommand):
    """Let nothing hold for a folder any more. Answered with the `FolderRule` that there was."""

    name: ClassVar[str] = "folder.unrule"


class RestoreVersion(_NamesCommand):
    """Let a file be as it was; what is there now is kept as a version in turn. Answered with `Restored`."""

    name: ClassVar[str] = "version.restore"

    which: VersionId
    to: FilePath | None = None
    """Under this name; by default under the one that it had."""


class RestoreFile(_NamesCommand):
    """Bring a deleted file back, or all of a folder. What is there again stays. Answered with `Restored`."""

    name: ClassVar[str] = "file.restore"

    path: FilePath
    folder: bool = False


class PurgeVersions(_NamesCommand):
    """Keep these for nobody any more. Answered with `Purged`."""

    name: ClassVar[str] = "version.purge"

    reasons: list[Gone] = [Gone.DELETED, Gone.EXPIRED]
    path: FilePath | None = None
    """Only of this file, and of what is in the folder of this name."""
    which: VersionId | None = None
    """Only this one, whatever its reason."""


FILE_COMMANDS: tuple[type[Command], ...] = (
    MakeFolder,
    MoveFile,
    SetFolderRule,
    DropFolderRule,
    RestoreVersion,
    RestoreFile,
    PurgeVersions,
)
"""All of them."""
