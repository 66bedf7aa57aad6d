"""Storage and its object store as the gateway can tell: files in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from urllib.parse import quote

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from contracts.commands import (
    CompleteUpload,
    DeleteFile,
)
from contracts.errors import ForbiddenError, NotFoundError
from contracts.files import Deleted, DownloadUrl, FileRecord, Folder, Part, UploadPlan
from contracts.grants import FoldersSharedWith
from contracts.model import now
from contracts.queries import (
    CheckHealth,
    DownloadFile,
    FilePage,
    GetFile,
    ListFiles,
    OpenUpload,
    ResumeUpload,
)
from contracts.transfers import DownloadFolder, FolderContent, FormUpload, OpenForm, StoredAt
from services.chassis.bus import Bus, Delivery
from services.chassis.policy import owner_or_self

from .site_unknown import shares_nothing, unknown_commands, unknown_queries, well

__all__ = ["SmallStorage"]


@dataclass(kw_only=True)
class SmallStorage:
    """Answers for storage, and to presigned URLs."""

    storage: Bus
    store_url: str = ""
    files: dict[tuple[str, str], FileRecord] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[BaseModel] = field(default_factory=list)
    part_size: int = 1 << 20
    folder_page: int = 2
    breaks: int = 0
    """How often the store breaks off in the middle of its next answers."""

    async def start_storage(self) -> None:
        """Begin to answer as storage."""
        self.storage.handle_commands(
            {**unknown_commands("storage"), CompleteUpload: self.complete, DeleteFile: self.delete}
        )
        self.storage.answer_queries(
            {
                **unknown_queries("storage"),
                GetFile: self.file,
                ListFiles: self.list_files,
                DownloadFile: self.download,
                DownloadFolder: self.download_folder,
                OpenForm: self.open_form,
                OpenUpload: self.open_upload,
                ResumeUpload: self.resume,
                FoldersSharedWith: shares_nothing,
                CheckHealth: well("storage"),
            }
        )
        await self.storage.start()

    def keep(self, owner: str, path: str, data: bytes) -> FileRecord:
        """Keep a file."""
        key = f"{owner}/object-{len(self.objects)}"
        self.objects[key] = data
        record = FileRecord(
            path=path, owner=owner, size=len(data), sha256=sha256(data).hexdigest(), created_at=now(), key=key
        )
        self.files[owner, path] = record
        return record

    async def file(self, query: GetFile | DownloadFile) -> FileRecord:
        owner = owner_or_self(query.principal, query.owner)
        if record := self.files.get((owner, query.path)):
            return record
        raise NotFoundError(f"{query.path} does not exist")

    async def list_files(self, query: ListFiles) -> FilePage:
        owner = owner_or_self(query.principal, query.owner)
        items = [item for (mine, path), item in self.files.items() if mine == owner and path.startswith(query.prefix)]
        return FilePage(items=items, folders=[] if query.recursive else [Folder(path="data/")])

    async def download(self, query: DownloadFile) -> DownloadUrl:
        record = await self.file(query)
        url = f"{self.store_url}/{quote(record.key)}"
        return DownloadUrl(url=url, size=record.size, sha256=record.sha256, expires_at=now() + timedelta(hours=1))

    async def download_folder(self, query: DownloadFolder) -> FolderContent:
        owner = owner_or_self(query.principal, query.owner)
        below = f"{query.path}/" if query.path else ""
        mine = sorted(path for whose, path in self.files if whose == owner and path.startswith(below))
        if below and not mine:
            raise NotFoundError(f"the folder {query.path} does not exist")
        after = [path for path in mine if path > (query.cursor or "")]
        page = [self.files[owner, path] for path in after[: self.folder_page]]
        items = [StoredAt(file=record, url=f"{self.store_url}/{quote(record.key)}") for record in page]
        more = len(after) > len(page)
        return FolderContent(items=items, next_cursor=page[-1].path if more else None)

    async def open_form(self, query: OpenForm) -> FormUpload:
        owner = owner_or_self(query.principal, query.owner)
        fields = {"key": f"forms/{owner}/${{filename}}"}
        return FormUpload(
            url=self.store_url,
            fields=fields,
            folder=query.folder,
            most=query.most,
            expires_at=now() + timedelta(seconds=query.expires),
        )

    async def open_upload(self, query: OpenUpload) -> UploadPlan:
        self.asked.append(query)
        ticket = f"{query.principal.subject}|{query.path}|{query.size}"
        sizes = [min(self.part_size, query.size - at) for at in range(0, query.size, self.part_size)] or [0]
        parts = [
            Part(number=n + 1, offset=n * self.part_size, size=size, url=f"{self.store_url}/{quote(ticket)}/{n + 1}")
            for n, size in enumerate(sizes)
        ]
        return UploadPlan(ticket=ticket, part_size=self.part_size, parts=parts, expires_at=now() + timedelta(hours=1))

    async def resume(self, query: ResumeUpload) -> UploadPlan:
        owner, path, size = _read_ticket(query.ticket)
        if owner != query.principal.subject:
            raise ForbiddenError("the ticket is somebody else's")
        return await self.open_upload(OpenUpload(principal=query.principal, path=path, size=int(size)))

    async def complete(self, command: CompleteUpload, _delivery: Delivery) -> FileRecord:
        owner, path, _size = _read_ticket(command.ticket)
        data = b"".join(self.objects.pop(f"{command.ticket}/{part.number}") for part in command.parts)
        return self.keep(owner, path, data)

    async def delete(self, command: DeleteFile, _delivery: Delivery) -> Deleted:
        if self.files.pop((command.principal.subject, command.path), None) is None:
            raise NotFoundError(f"{command.path} does not exist")
        return Deleted(deleted=1)

    async def store(self, request: Request) -> Response:
        """Answer as an object store does to presigned URLs."""
        key = request.path_params["key"]
        if request.method == "PUT":
            self.objects[key] = await request.body()
            return Response(headers={"ETag": f'"{sha256(self.objects[key]).hexdigest()[:32]}"'})
        data = self.objects[key]
        if wanted := request.headers.get("range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            return Response(data[int(first) : int(last) + 1], 206)
        if self.breaks:
            self.breaks -= 1
            return StreamingResponse(_break_off(data), headers={"Content-Length": str(len(data))})
        return Response(data, media_type="text/html")


async def _break_off(data: bytes) -> AsyncIterator[bytes]:
    """Give half of the bytes, and fail; the server drops the connection then."""
    yield data[: len(data) // 2]
    raise ConnectionResetError("the store is tired")


def _read_ticket(ticket: str) -> list[str]:
    parts = ticket.split("|")
    if len(parts) != 3:
        raise ForbiddenError("the ticket is not valid")
    return parts
