"""What storage hears: commands about uploads and files, and questions of users, scheduler and runners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from contracts.commands import Command, CompleteUpload, DeleteFile, ShareFolder, UnshareFolder
from contracts.file_commands import MakeFolder, MoveFile
from contracts.file_queries import GetFolder
from contracts.queries import (
    DownloadFile,
    DownloadRunInputs,
    FolderGrants,
    FoldersSharedWith,
    FreezeInputs,
    GetFile,
    ListFiles,
    OpenRunUpload,
    OpenUpload,
    Query,
    ResumeUpload,
)
from contracts.subjects import event_subject
from services.chassis.bus import Bus, CommandHandler, Delivery, QueryHandler
from services.chassis.errors import translated

from .freezing import Freezer
from .names import NameService
from .removals import Removals
from .runs import RunService
from .service import FileService
from .sharing import SharingService
from .uploads import UploadService

__all__ = ["register"]

_Q = TypeVar("_Q", bound=Query)


def register(
    bus: Bus,
    *,
    files: FileService,
    freezer: Freezer,
    names: NameService,
    uploads: UploadService,
    runs: RunService,
    sharing: SharingService,
    removals: Removals,
) -> None:
    """Have *bus* hand commands and questions to the services."""
    commands: dict[type[Command], CommandHandler] = {
        CompleteUpload: _obeying(uploads.complete),
        DeleteFile: _obeying(files.delete),
        MakeFolder: _obeying(names.make),
        MoveFile: _obeying(names.move),
        ShareFolder: _obeying(sharing.share),
        UnshareFolder: _obeying(sharing.unshare),
    }
    queries: dict[type[Query], QueryHandler] = {
        GetFile: _answering(files.get),
        GetFolder: _answering(names.folder),
        ListFiles: _answering(files.page),
        DownloadFile: _answering(files.download),
        FreezeInputs: _answering(freezer.freeze),
        FolderGrants: _answering(sharing.given),
        FoldersSharedWith: _answering(sharing.received),
        OpenUpload: _answering(uploads.open),
        ResumeUpload: _answering(uploads.resume),
        DownloadRunInputs: _answering(runs.downloads),
        OpenRunUpload: _answering(runs.open_upload),
    }

    async def take_removal(raw: bytes, delivery: Delivery) -> None:
        with translated("the database"):
            await removals.take(raw, delivery)

    bus.handle_commands(commands)
    bus.answer_queries(queries)
    bus.follow("EVENTS", event_subject("workload", "removed"), "storage-removals", take_removal)


def _obeying(method: Callable[..., Awaitable[BaseModel]]) -> CommandHandler:
    async def obey(command: Command, delivery: Delivery) -> BaseModel:
        with translated("the database"):
            return await method(command, cause=delivery.message_id, context=delivery.context)

    return obey


def _answering(method: Callable[[_Q], Awaitable[Any]]) -> QueryHandler:
    async def answer(query: _Q) -> Any:
        with translated("the database"):
            return await method(query)

    return answer
