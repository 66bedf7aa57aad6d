"""Commands about the names of files: folders, moves."""

from __future__ import annotations

from typing import ClassVar

from .command import Command
from .principals import Principal
from .spec import FilePath

__all__ = ["FILE_COMMANDS", "MakeFolder", "MoveFile"]


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


FILE_COMMANDS: tuple[type[Command], ...] = (MakeFolder, MoveFile)
"""All of them."""
