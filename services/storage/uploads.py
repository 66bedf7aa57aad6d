"""Uploads: a plan with URLs, then a completion that believes nothing but the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.commands import CompleteUpload
from contracts.envelope import Context
from contracts.errors import ConflictError, FieldError, InvalidError, NotFoundError, OverQuotaError
from contracts.events import FileStored
from contracts.file_queries import CheckRoom
from contracts.files import FileRecord, Part, PartDone, Sha256, UploadPlan
from contracts.ids import WorkloadId
from contracts.model import Model, now
from contracts.principals import Principal
from contracts.queries import OpenUpload, ResumeUpload
from contracts.shelves import FolderRoom
from services.chassis.policy import Power
from services.chassis.tickets import Tickets
from services.chassis.unit import UnitOfWork

from .keys import new_key, require_own_path
from .objects import Content, Objects, StoredPart
from .plans import part_size_for, pieces
from .removals import refuse_if_gone
from .rights import owner_for
from .rules import Quotas
from .store import (
    OpenedUpload,
    StoredFile,
    close_upload,
    extend_upload,
    find_object,
    find_uploaded,
    hold_object,
    open_upload,
    put_file,
)

__all__ = ["TICKET_AGE", "UploadService", "UploadTicket", "event_of"]

TICKET_AGE = timedelta(days=30).total_seconds()
"""Far longer than any upload is kept: whether one is still under way says its row, not its ticket."""

_ANY = "any"
"""The name of a file of which only the folder matters."""

_NAMED = 100
"""Parts that are named in one refusal."""

_RESUMED = timedelta(hours=1)
"""How long the URLs of an upload that was taken up again are good."""


class UploadTicket(Model):
    """What was agreed when an upload was opened; signed, so that its completion needs no other authority."""

    owner: str
    path: str
    key: str
    upload_id: str | None = None
    """None if the object comes in one PUT."""
    size: int
    sha256: Sha256 | None = None
    content_type: str
    part_size: int
    same_as: str | None = None
    """The object that has these bytes already: nothing is brought."""
    workload_id: WorkloadId | None = None
    guest: Principal | None = None
    """Who brings it, if it is another one's: they must still be let in when it is complete."""


class UploadService:
    """Opens, resumes and completes uploads."""

    def __init__(
        self,
        *,
        unit: UnitOfWork,
        objects: Objects,
        tickets: Tickets[UploadTicket],
        part_size: int,
        quotas: Quotas,
    ) -> None:
        self._unit = unit
        self._objects = objects
        self._tickets = tickets
        self._part_size = part_size
        self._quotas = quotas

    async def open(self, query: OpenUpload) -> UploadPlan:
        """Plan a user's upload."""
        require_own_path(query.path)
        async with self._unit.reading() as connection:
            owner = await owner_for(connection, query.principal, query.owner, query.path, Power.CONTROL)
            await self._quotas.require(connection, owner, query.path, query.size)
            same_as = await self._same(connection, owner, query)
        ticket = UploadTicket(
            owner=owner,
            path=query.path,
            key=new_key(owner),
            size=query.size,
            sha256=query.sha256,
            content_type=query.content_type,
            part_size=part_size_for(query.size, self._part_size),
            same_as=same_as,
            guest=None if owner == query.principal.subject else query.principal,
        )
        # In parts even if it is one only: the URL of a part is worth nothing after the completion, while that of a
        # plain PUT could change the bytes of a finished file.
        return await self.begin(ticket, timedelta(seconds=query.expires), in_parts=same_as is None, bounded=True)

    async def check(self, query: CheckRoom) -> FolderRoom:
        """Say what a file in a folder can come to."""
        path = f"{query.folder}/{_ANY}"
        async with self._unit.reading() as connection:
            owner = await owner_for(connection, query.principal, query.owner, path, Power.CONTROL)
        return await self.room(owner, path, query.size)

    async def room(self, owner: str, path: str, size: int) -> FolderRoom:
        """Return what a file can come to, or refuse what can never be."""
        async with self._unit.reading() as connection:
            return FolderRoom(largest=await self._quotas.largest(connection, owner, path, size))

    async def _same(self, connection: AsyncConnection, owner: str, query: OpenUpload) -> str | None:
        """Return the object that makes bringing these bytes needless. No guest learns what the owner has."""
        if not query.reuse or query.sha256 is None or not query.size or owner != query.principal.subject:
            return None
        return await find_object(connection, owner, sha256=query.sha256, size=query.size)

    async def begin(
        self, ticket: UploadTicket, span: timedelta, *, in_parts: bool, bounded: bool = False
    ) -> UploadPlan:
        """Make ready for what the ticket says and return the plan for all of it; *bounded* by quotas or not."""
        upload_id = await self._objects.begin(ticket.key, ticket.content_type, ticket.size) if in_parts else None
        ticket = ticket.model_copy(update={"upload_id": upload_id})
        opened = OpenedUpload(ticket.key, upload_id, ticket.owner, ticket.path, ticket.size)
        try:
            async with self._unit.begin(_own_context()) as work:
                await refuse_if_gone(work.connection, ticket.workload_id)
                if bounded:
                    # An attempt that brings a file a second time, because an URL was too old or the first one was
                    # lost, has the room that it had.
                    again = ticket.workload_id is not None
                    place = (work.connection, ticket.owner, ticket.path, ticket.size)
                    await self._quotas.require(*place, alone=True, again=again)
                await open_upload(work.connection, opened, now() + span)
        except (ConflictError, OverQuotaError):
            # Its job is gone, or somebody else took the room since we looked: nothing of this may stay in the store.
            if upload_id is not None:
                await self._objects.abort(ticket.key, upload_id)
            raise
        return await self._plan(ticket, self._tickets.issue(ticket), [], span)

    async def resume(self, query: ResumeUpload) -> UploadPlan:
        """Plan what is missing of an upload; nothing is, if it has been completed."""
        ticket = self._tickets.read(query.ticket, TICKET_AGE)
        if query.principal.subject != (ticket.guest.subject if ticket.guest else ticket.owner):
            raise NotFoundError("there is no such upload")
        await self._require_let_in(ticket)
        span = _RESUMED
        if await self._is_assembled(ticket):
            return UploadPlan(ticket=query.ticket, part_size=ticket.part_size, parts=[], expires_at=now() + span)
        async with self._unit.begin(_own_context()) as work:
            if ticket.workload_id is None:
                # While its URLs were too old, it took no room.
                await self._quotas.require(
                    work.connection, ticket.owner, ticket.path, ticket.size, upload=ticket.key, alone=True
                )
            if not await extend_upload(work.connection, ticket.key, now() + span):
                raise _gone()
        try:
            present = await self._present(ticket)
        except NotFoundError:
            raise _gone() from None
        return await self._plan(ticket, query.ticket, present, span)

    async def complete(self, command: CompleteUpload, *, cause: str, context: Context) -> FileRecord:
        """Check the bytes and make the file; the same ticket again gets the same record."""
        ticket = self._tickets.read(command.ticket, TICKET_AGE)
        if (stored := await self._stored(ticket.key)) is not None:
            return stored.to_record()
        await self._require_let_in(ticket)
        await self._assemble(ticket, command.parts)
        sha256 = await self._verified(ticket, command.parts)
        file = _file_of(ticket, sha256)
        async with self._unit.handling(cause, context) as work:
            # Somebody else may have completed or swept the upload meanwhile: the row tells.
            if work and await close_upload(work.connection, ticket.key):
                await refuse_if_gone(work.connection, ticket.workload_id)
                if ticket.same_as and not await hold_object(work.connection, ticket.owner, ticket.same_as):
                    raise _gone()
                await put_file(work.connection, file, cause)
                work.send(event_of(file))
                return file.to_record()
        if (stored := await self._stored(ticket.key)) is not None:
            return stored.to_record()
        raise _gone()

    async def _require_let_in(self, ticket: UploadTicket) -> None:
        """Refuse a guest who was let in when the upload began, and is not any more."""
        if ticket.guest:
            async with self._unit.reading() as connection:
                await owner_for(connection, ticket.guest, ticket.owner, ticket.path, Power.CONTROL)

    async def _plan(
        self, ticket: UploadTicket, signed: str, present: Sequence[StoredPart], span: timedelta
    ) -> UploadPlan:
        done = {part.number: part for part in present}
        missing = [
            piece
            for piece in (() if ticket.same_as else pieces(ticket.size, ticket.part_size))
            if not _is_there(done, piece.number, piece.size)
        ]
        expires_at = now() + span
        urls = await self._urls(ticket, [piece.number for piece in missing], span)
        left = {piece.number for piece in missing}
        return UploadPlan(
            ticket=signed,
            part_size=ticket.part_size,
            parts=[
                Part(number=piece.number, offset=piece.offset, size=piece.size, url=url)
                for piece, url in zip(missing, urls, strict=True)
            ],
            done=[PartDone(number=part.number, etag=part.etag) for part in present if part.number not in left],
            expires_at=expires_at,
        )

    async def _urls(self, ticket: UploadTicket, numbers: Sequence[int], span: timedelta) -> list[str]:
        span = max(span, timedelta(seconds=1))
        if ticket.upload_id is None:
            return [await self._objects.presign_put(ticket.key, span) for _ in numbers]
        return await self._objects.presign_parts(ticket.key, ticket.upload_id, numbers, span)

    async def _stored(self, key: str) -> StoredFile | None:
        async with self._unit.reading() as connection:
            return await find_uploaded(connection, key)

    async def _is_assembled(self, ticket: UploadTicket) -> bool:
        """Say whether all bytes are in their place, be it that the completion got no further than that."""
        if await self._stored(ticket.key) is not None:
            return True
        return ticket.upload_id is not None and await self._objects.exists(ticket.key)

    async def _present(self, ticket: UploadTicket) -> list[StoredPart]:
        if ticket.upload_id is None:
            return []
        return await self._objects.parts(ticket.key, ticket.upload_id)

    async def _assemble(self, ticket: UploadTicket, sent: Sequence[PartDone]) -> None:
        """Make the object of its parts, unless an earlier try did so and got no further.

        While another completion of the same upload is at work, the server lists fewer parts, or none: the object tells.
        """
        if ticket.upload_id is None:
            return
        try:
            present = await self._objects.parts(ticket.key, ticket.upload_id)
            await self._objects.complete(ticket.key, ticket.upload_id, _all_of(ticket, _chosen(present, sent)))
        except (NotFoundError, InvalidError) as error:
            if not await self._objects.exists(ticket.key):
                raise (_gone() if isinstance(error, NotFoundError) else error) from None

    async def _verified(self, ticket: UploadTicket, sent: Sequence[PartDone]) -> str:
        """Return the checksum of the bytes; what is not what was agreed is deleted and refused."""
        if ticket.same_as and ticket.sha256:
            return ticket.sha256
        by_part = any(part.sha256 for part in sent)
        try:
            content = await self._objects.measure(ticket.key, ticket.size, ticket.part_size if by_part else None)
        except NotFoundError:
            raise InvalidError.of("parts", "nothing has been uploaded yet") from None
        if content.size != ticket.size:
            await self._objects.delete([ticket.key])
            raise InvalidError.of("size", f"{content.size} bytes came instead of the announced {ticket.size}")
        if wrong := _wrong_parts(sent, content):
            await self._objects.delete([ticket.key])
            raise InvalidError(f"these parts are not what was sent: {wrong}", errors=_named(wrong))
        if ticket.sha256 not in {None, content.sha256}:
            await self._objects.delete([ticket.key])
            raise InvalidError.of("sha256", f"the bytes that came have {content.sha256}, announced was {ticket.sha256}")
        return content.sha256


def _own_context() -> Context:
    return Context.start("service:storage")


def _gone() -> ConflictError:
    return ConflictError("the upload is gone: it failed its check or was abandoned for too long; open a new one")


def _is_there(done: dict[int, StoredPart], number: int, size: int) -> bool:
    return number in done and done[number].size == size


def _chosen(present: Sequence[StoredPart], sent: Sequence[PartDone]) -> list[StoredPart]:
    """Of parts that came twice leave out those that the client does not mean, if it says which ones it does."""
    named = {(part.number, part.etag) for part in sent}
    meant = {part.number for part in present if (part.number, part.etag) in named}
    return [part for part in present if part.number not in meant or (part.number, part.etag) in named]


def _wrong_parts(sent: Sequence[PartDone], content: Content) -> list[int]:
    """Return the numbers of parts that have another checksum than was said."""
    found = dict(enumerate(content.parts, start=1))
    return [part.number for part in sent if part.sha256 and part.sha256 != found.get(part.number)]


def _named(numbers: Sequence[int]) -> list[FieldError]:
    return [FieldError(field=f"parts.{number}.sha256", message="other bytes came") for number in numbers[:_NAMED]]


def _all_of(ticket: UploadTicket, present: Sequence[StoredPart]) -> list[StoredPart]:
    """Return the parts that make the file, or refuse while some are missing; the upload can go on then."""
    done = {part.number: part for part in present}
    missing = [
        str(piece.number)
        for piece in pieces(ticket.size, ticket.part_size)
        if not _is_there(done, piece.number, piece.size)
    ]
    if missing:
        named = ", ".join(missing[:10]) + (" …" if len(missing) > 10 else "")
        raise InvalidError.of("parts", f"missing or of the wrong size: {named}; bring them and complete again")
    return [done[piece.number] for piece in pieces(ticket.size, ticket.part_size)]


def _file_of(ticket: UploadTicket, sha256: str) -> StoredFile:
    at: datetime = now()
    return StoredFile(
        owner=ticket.owner,
        path=ticket.path,
        key=ticket.same_as or ticket.key,
        size=ticket.size,
        sha256=sha256,
        content_type=ticket.content_type,
        workload_id=ticket.workload_id,
        created_at=at,
        upload=ticket.key,
    )


def event_of(file: StoredFile, restored_from: str = "") -> FileStored:
    """Say that a file is there."""
    return FileStored(
        owner=file.owner,
        path=file.path,
        key=file.key,
        size=file.size,
        sha256=file.sha256,
        content_type=file.content_type,
        workload_id=file.workload_id,
        upload=file.upload,
        restored_from=restored_from,
        at=file.created_at,
    )
