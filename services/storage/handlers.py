"""What storage hears: commands about uploads and files, and questions of users, scheduler and runners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from contracts.commands import Command, CompleteUpload, DeleteFile, ShareFolder, UnshareFolder
from contracts.files import Deleted, FileRecord
from contracts.grants import Grant
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
from contracts.transfers import DownloadFolder, OpenForm
from services.chassis.bus import Bus, CommandHandler, Delivery, QueryHandler
from services.chassis.errors import translated

from .contents import ContentService
from .forms import FormService
from .runs import RunService
from .service import FileService
from .sharing import SharingService
from .uploads import UploadService

__all__ = ["register", "register_forms"]

_Q = TypeVar("_Q", bound=Query)


def register(
    bus: Bus,
    *,
    files: FileService,
    forms: FormService,
    uploads: UploadService,
    runs: RunService,
    sharing: SharingService,
) -> None:
    """Have *bus* hand commands and questions to the services."""

    async def complete_upload(command: CompleteUpload, delivery: Delivery) -> FileRecord:
        with translated("the database"):
            return await uploads.complete(command, cause=delivery.message_id, context=delivery.context)

    async def delete_file(command: DeleteFile, delivery: Delivery) -> Deleted:
        with translated("the database"):
            await forms.look(command.principal.subject)
            return await files.delete(command, cause=delivery.message_id, context=delivery.context)

    async def share(command: ShareFolder, delivery: Delivery) -> Grant:
        with translated("the database"):
            return await sharing.share(command, cause=delivery.message_id, context=delivery.context)

    async def unshare(command: UnshareFolder, delivery: Delivery) -> Grant:
        with translated("the database"):
            return await sharing.unshare(command, cause=delivery.message_id, context=delivery.context)

    commands: dict[type[Command], CommandHandler] = {
        CompleteUpload: complete_upload,
        DeleteFile: delete_file,
        ShareFolder: share,
        UnshareFolder: unshare,
    }
    queries: dict[type[Query], QueryHandler] = {
        GetFile: _looking(forms, files.get),
        ListFiles: _looking(forms, files.page),
        DownloadFile: _looking(forms, files.download),
        FreezeInputs: _looking(forms, files.freeze),
        FolderGrants: _answering(sharing.given),
        FoldersSharedWith: _answering(sharing.received),
        OpenUpload: _answering(uploads.open),
        ResumeUpload: _answering(uploads.resume),
        DownloadRunInputs: _answering(runs.downloads),
        OpenRunUpload: _answering(runs.open_upload),
    }
    bus.handle_commands(commands)
    bus.answer_queries(queries)


def register_forms(bus: Bus, *, forms: FormService, contents: ContentService) -> None:
    """Have *bus* hand questions about many files at once to the services."""
    bus.answer_queries({DownloadFolder: _looking(forms, contents.download), OpenForm: _answering(forms.open)})


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
