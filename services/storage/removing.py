"""Taking files and folders away, and saying so."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.events import FileDeleted
from contracts.file_events import FolderRemoved
from contracts.model import now
from services.chassis.unit import Work

from .folders import remove_folders
from .store import remove_files
from .stored import Reason, StoredFile

__all__ = ["drop_folders", "remove_all"]


async def remove_all(work: Work, files: Sequence[StoredFile], cause: str, reason: Reason) -> None:
    """Take files away; each that was still there is an event."""
    at = now()
    for file in await remove_files(work.connection, files, at, cause, reason):
        work.send(
            FileDeleted(owner=file.owner, path=file.path, key=file.key, upload=file.upload, reason=reason.value, at=at)
        )


async def drop_folders(work: Work, owner: str, folder: str) -> list[str]:
    """Let a folder that was made, and those below, be there no more; returns which they were."""
    at, gone = now(), await remove_folders(work.connection, owner, folder)
    for path in gone:
        work.send(FolderRemoved(owner=owner, path=path.removesuffix("/"), at=at))
    return gone
