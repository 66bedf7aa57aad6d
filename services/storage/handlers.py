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
from contracts.transfers import DownloadFolder, OpenForm
from services.chassis.bus import Bus, CommandHandler, Delivery, QueryHandler
from services.chassis.errors import translated

from .contents import FolderService
from .forms import FormService
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
    folders: FolderService,
    forms: FormService,
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
        DeleteFile: _obeying(files.delete, forms),
        MakeFolder: _obeying(names.make),
        MoveFile: _obeying(names.move, forms),
        ShareFolder: _obeying(sharing.share),
        UnshareFolder: _obeying(sharing.unshare),
    }
    queries: dict[type[Query], QueryHandler] = {
        GetFile: _looking(forms, files.get),
        GetFolder: _looking(forms, names.folder),
        ListFiles: _looking(forms, files.page),
        DownloadFile: _looking(forms, files.download),
        FreezeInputs: _looking(forms, freezer.freeze),
        DownloadFolder: _looking(forms, folders.download),
        OpenForm: _answering(forms.open),
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


def _obeying(method: Callable[..., Awaitable[BaseModel]], forms: FormService | None = None) -> CommandHandler:
    async def obey(command: Command, delivery: Delivery) -> BaseModel:
        with translated("the database"):
            if forms:
                await forms.look(command.principal.subject)  # type: ignore[attr-defined]
            return await method(command, cause=delivery.message_id, context=delivery.context)

    return obey


def _answering(method: Callable[[_Q], Awaitable[Any]]) -> QueryHandler:
    async def answer(query: _Q) -> Any:
        with translated("the database"):
            return await method(query)

    return answer


def _looking(forms: FormService, method: Callable[[_Q], Awaitable[Any]]) -> QueryHandler:
    """Have what came by forms taken in first."""

    async def answer(query: _Q) -> Any:
        with translated("the database"):
            await forms.look(getattr(query, "owner", None) or query.principal.subject)  # type: ignore[attr-defined]
            return await method(query)

    return answer
