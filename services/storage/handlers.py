"""What storage hears: commands about uploads and files, and questions of users, scheduler and runners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from contracts.commands import Command, CompleteUpload, DeleteFile, ShareFolder, UnshareFolder
from contracts.file_commands import (
    DropFolderRule,
    MakeFolder,
    MoveFile,
    PurgeVersions,
    RestoreFile,
    RestoreVersion,
    SetFolderRule,
)
from contracts.file_queries import CheckRoom, GetFolder, GetStorageUsage, ListFolderRules, ListOwners, ListVersions
from contracts.queries import (
    CheckRunRoom,
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

from .contents import ContentService
from .forms import FormService
from .freezing import Freezer
from .names import NameService
from .removals import Removals
from .ruling import RuleService
from .runs import RunService
from .service import FileService
from .sharing import SharingService
from .uploads import UploadService
from .versions import VersionService

__all__ = ["Parts", "register"]

_Q = TypeVar("_Q", bound=Query)


@dataclass(frozen=True, slots=True)
class Parts:
    """What storage is made of, as far as it hears anything."""

    files: FileService
    names: NameService
    rules: RuleService
    versions: VersionService
    forms: FormService
    contents: ContentService
    freezer: Freezer
    uploads: UploadService
    runs: RunService
    sharing: SharingService
    removals: Removals


def register(bus: Bus, parts: Parts) -> None:
    """Have *bus* hand commands and questions to the services."""

    async def take_removal(raw: bytes, delivery: Delivery) -> None:
        with translated("the database"):
            await parts.removals.take(raw, delivery)

    bus.handle_commands(_commands(parts))
    bus.answer_queries(_queries(parts))
    bus.follow("EVENTS", [event_subject("workload", "removed")], "storage-removals", take_removal)


def _commands(parts: Parts) -> dict[type[Command], CommandHandler]:
    return {
        CompleteUpload: _obeying(parts.uploads.complete),
        DeleteFile: _obeying(parts.files.delete, parts.forms),
        MakeFolder: _obeying(parts.names.make),
        MoveFile: _obeying(parts.names.move, parts.forms),
        SetFolderRule: _obeying(parts.rules.set),
        DropFolderRule: _obeying(parts.rules.drop),
        RestoreVersion: _obeying(parts.versions.restore_version),
        RestoreFile: _obeying(parts.versions.restore),
        PurgeVersions: _obeying(parts.versions.purge),
        ShareFolder: _obeying(parts.sharing.share),
        UnshareFolder: _obeying(parts.sharing.unshare),
    }


def _queries(parts: Parts) -> dict[type[Query], QueryHandler]:
    return {
        GetFile: _looking(parts.forms, parts.files.get),
        GetFolder: _looking(parts.forms, parts.names.folder),
        ListFiles: _looking(parts.forms, parts.files.page),
        DownloadFile: _looking(parts.forms, parts.files.download),
        FreezeInputs: _looking(parts.forms, parts.freezer.freeze),
        ListFolderRules: _answering(parts.rules.page),
        GetStorageUsage: _answering(parts.rules.usage),
        ListOwners: _answering(parts.rules.owners),
        ListVersions: _answering(parts.versions.page),
        FolderGrants: _answering(parts.sharing.given),
        FoldersSharedWith: _answering(parts.sharing.received),
        DownloadFolder: _looking(parts.forms, parts.contents.download),
        OpenForm: _answering(parts.forms.open),
        CheckRoom: _answering(parts.uploads.check),
        CheckRunRoom: _answering(parts.runs.check),
        OpenUpload: _answering(parts.uploads.open),
        ResumeUpload: _answering(parts.uploads.resume),
        DownloadRunInputs: _answering(parts.runs.downloads),
        OpenRunUpload: _answering(parts.runs.open_upload),
    }


def _obeying(method: Callable[..., Awaitable[BaseModel]], forms: FormService | None = None) -> CommandHandler:
    """Have a command obeyed; with *forms*, after what came by them was taken in."""

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
            owner = getattr(query, "owner", None) or query.principal.subject  # type: ignore[attr-defined]
            await forms.look(owner, [item.source for item in query.inputs] if isinstance(query, FreezeInputs) else [""])
            return await method(query)

    return answer
