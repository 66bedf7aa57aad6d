"""The one place where bytes go through us: into a file, out of one, and out of a folder as a zip."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from contracts.errors import ConflictError, InvalidError
from contracts.file_queries import CheckRoom
from contracts.files import DownloadUrl, FileRecord
from contracts.model import now
from contracts.transfers import LARGEST_FORM, DownloadFolder, FolderContent, FormUpload, OpenForm, StoredAt
from services.chassis.bus import Bus
from services.chassis.policy import longest_url

from .api.ranges import Span, read_range
from .callers import Caller
from .files import FileService
from .spool import spooled
from .transfer import Body, Transfer
from .zips import ZipEntry, zip_pieces

__all__ = ["FileStream", "Streams"]

OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class FileStream:
    """A file, or a range of it, on its way out."""

    path: str
    sha256: str
    content_type: str
    span: Span
    pieces: AsyncIterator[bytes]


class Streams:
    """Moves bytes for one caller."""

    def __init__(self, *, bus: Bus, caller: Caller, files: FileService, transfer: Transfer, most: int) -> None:
        """*most*: bytes that may wait on our disk because nobody said how many they are."""
        self._bus = bus
        self._caller = caller
        self._files = files
        self._transfer = transfer
        self._most = most

    async def put_stream(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None = None,
        sha256: str | None = None,
        content_type: str = OCTETS,
        owner: str | None = None,
    ) -> FileRecord:
        """Bring bytes into the store; what arrives is what was sent, or there is no file."""
        if size is not None:
            return await self._put(path, chunks, size, sha256, content_type, owner)
        async with spooled(chunks, self._most) as spool:
            return await self._put(path, spool.pieces(), spool.size, sha256, content_type, owner)

    async def get_stream(self, path: str, byte_range: str | None = None, *, owner: str | None = None) -> FileStream:
        """Begin to fetch a file, or what a `Range` header names of it."""
        return await self.stream_of(await self._files.url(path, owner), path, byte_range)

    async def stream_of(self, url: DownloadUrl, path: str, byte_range: str | None) -> FileStream:
        """Begin to fetch what lies behind a URL that storage gave out."""
        span = read_range(byte_range, url.size)
        if not span.length:
            return FileStream(path, url.sha256, OCTETS, span, _nothing())
        download = await self._transfer.open(url.url, span.to_range() if span.partial else None)
        return FileStream(path, url.sha256, download.content_type, span, download.pieces())

    async def zip_stream(self, folder: str = "", *, owner: str | None = None) -> AsyncIterator[bytes]:
        """Begin to pack a folder as it is now, names as they are below it; raises where there is no such folder."""
        first = await self._content(folder, owner, None)
        return zip_pieces(self._entries(folder, owner, first))

    async def form_upload(
        self, folder: str = "", *, owner: str | None = None, expires: float = 600.0, most: int = LARGEST_FORM
    ) -> FormUpload:
        """Return a form by which a browser brings files into a folder, past us."""
        query = OpenForm(principal=self._caller.principal, folder=folder, owner=owner, expires=expires, most=most)
        form: FormUpload = await self._bus.ask(query)
        return form

    async def check_room(self, folder: str, size: int, *, owner: str | None = None) -> None:
        """Refuse a file that a folder will never have room for."""
        await self._bus.ask(CheckRoom(principal=self._caller.principal, owner=owner, folder=folder, size=size))

    async def _put(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        size: int,
        sha256: str | None,
        content_type: str,
        owner: str | None,
    ) -> FileRecord:
        plan = await self._files.plan(path, size, sha256, content_type, owner)
        body = Body(chunks)
        parts = sorted(plan.parts, key=lambda part: part.offset)
        done = [*plan.done, *[await self._transfer.put(part, body) for part in parts]]
        if sha256 not in {None, body.sha256}:
            raise InvalidError.of("X-Content-SHA256", f"the body's sha256 is {body.sha256}")
        record = await self._files.complete(plan.ticket, sorted(done, key=lambda part: part.number))
        if record.sha256 != body.sha256:
            raise ConflictError("the file is not what was sent: somebody else wrote it at the same time")
        return record

    async def _entries(self, folder: str, owner: str | None, page: FolderContent) -> AsyncIterator[ZipEntry]:
        below = f"{folder}/" if folder else ""
        while True:
            for item in page.items:
                file = item.file
                yield ZipEntry(file.path.removeprefix(below), file.size, file.created_at, self._pieces(item))
            for path in page.folders:
                yield ZipEntry(path.removeprefix(below) + "/", 0, now(), _nothing())
            if page.next_cursor is None:
                return
            page = await self._content(folder, owner, page.next_cursor)

    async def _pieces(self, item: StoredAt) -> AsyncIterator[bytes]:
        if item.file.size:
            download = await self._transfer.open(item.url)
            async for piece in download.pieces():
                yield piece

    async def _content(self, folder: str, owner: str | None, cursor: str | None) -> FolderContent:
        principal = await self._files.reader(f"{folder}/", owner)
        expires = longest_url(principal, owner or principal.subject, 3600.0)
        query = DownloadFolder(principal=principal, path=folder, owner=owner, cursor=cursor, expires=expires)
        content: FolderContent = await self._bus.ask(query)
        return content


async def _nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece
