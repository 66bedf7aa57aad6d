"""A storage service for tests: the real one, in this process, on a real NATS and a real S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import ByteSize, SecretStr

from contracts.commands import Command, CompleteUpload, DeleteFile
from contracts.envelope import Context, Envelope
from contracts.errors import UnavailableError
from contracts.events import FileDeleted, FileStored
from contracts.file_commands import MakeFolder, MoveFile, RestoreFile, RestoreVersion, SetFolderRule
from contracts.file_queries import GetFolder, GetStorageUsage, ListVersions
from contracts.files import Deleted, FileRecord, Folder, FolderRecord, Moved, Part, PartDone, UploadPlan
from contracts.model import Message
from contracts.principals import Principal, Role
from contracts.queries import CheckHealth, FilePage, GetFile, ListFiles, OpenUpload, Query, ResumeUpload
from contracts.runs import RunTicket
from contracts.shelves import FolderRule, FolderRuleSpec, Restored, StorageUsage, Version, VersionPage
from contracts.subjects import event_subject, subject_of
from services.chassis.bus import Bus
from services.chassis.database import close_engine, make_engine
from services.chassis.settings import NatsSettings, Server
from services.chassis.tickets import Tickets
from services.chassis.unit import UnitOfWork, turn_for
from services.storage.main import main
from services.storage.objects import Objects
from services.storage.settings import ObjectSettings, S3Settings, StorageSection, StorageSettings
from services.storage.stored import Reason
from services.storage.stores import make_objects
from services.storage.sweep import Sweeper
from services.storage.tables import INBOX, OUTBOX
from tests.support.databases import bring_schema, database_url
from tests.support.servers import S3, free_ports

__all__ = [
    "ADMIN",
    "EVE",
    "PART",
    "User",
    "digest_of",
    "fetch",
    "folder_settings",
    "key_in",
    "opened",
    "put_part",
    "run_storage",
    "run_ticket",
    "storage_settings",
    "sweeper",
]

EVE = Principal(subject="eve")
ADMIN = Principal(subject="root", roles=frozenset({Role.ADMIN}))

PART = 5 * 2**20
"""The smallest part that S3 takes."""

_KEY = SecretStr("k" * 40)

_BUCKET = "files-of-tests"
"""One for all tests: SeaweedFS takes 0.2 s for the first object of a bucket. Keys are never used twice anyway."""

_M = TypeVar("_M", bound=Message)


def digest_of(content: bytes) -> str:
    """Return the checksum of *content*."""
    return hashlib.sha256(content).hexdigest()


def storage_settings(folder: Path, nats: NatsSettings, s3: S3, **section: Any) -> StorageSettings:
    """Return settings for a storage service of the test's own."""
    store = S3Settings(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=SecretStr(s3.secret_key))
    return StorageSettings(
        data=folder,
        nats=nats,
        ticket_key=_KEY,
        storage=StorageSection(
            **{
                "health": Server(port=0),
                "database_url": database_url(folder, "storage") or None,
                "s3": store,
                "bucket": _BUCKET,
                "part_size": PART,
                **section,
            }
        ),
    )


def folder_settings(folder: Path, nats: NatsSettings, **section: Any) -> StorageSettings:
    """Return settings for a storage service that keeps bytes in a folder, and serves them itself."""
    (port,) = free_ports(1)
    kind = ObjectSettings(kind="folder", public_url=f"http://127.0.0.1:{port}", keep_free=ByteSize(0))
    section = {"health": Server(port=port), "objects": kind, **section}
    return storage_settings(folder, nats, S3("127.0.0.1:9", "", ""), **section)


@asynccontextmanager
async def run_storage(settings: StorageSettings, *, healthy: bool = True) -> AsyncIterator[Bus]:
    """Run the service in this process; gives a bus to speak with it, when it answers."""
    await bring_schema("storage", settings.database_url)
    serving = asyncio.create_task(main(settings))
    bus = Bus(settings.nats, "test")
    await bus.connect()
    try:
        await _until_ready(bus, serving, healthy=healthy)
        yield bus
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await bus.stop()


async def _until_ready(bus: Bus, serving: asyncio.Task[None], *, healthy: bool) -> None:
    async with asyncio.timeout(15):
        while not serving.done():
            with suppress(UnavailableError):
                if (await bus.ask(CheckHealth(), service="storage", timeout=5)).ready is healthy:
                    return
            await asyncio.sleep(0.01)
    serving.result()


@asynccontextmanager
async def opened(settings: StorageSettings) -> AsyncIterator[tuple[UnitOfWork, Objects]]:
    """Open the service's database and bucket beside it, to look and to meddle."""
    engine = make_engine(settings.database_url)
    objects = make_objects(settings)
    unit = UnitOfWork(
        engine=engine,
        inbox=INBOX,
        outbox=OUTBOX,
        source="storage",
        announce=lambda _rows: None,
        turn=turn_for(engine),
    )
    try:
        yield unit, objects
    finally:
        objects.close()
        await close_engine(engine)


def sweeper(
    unit: UnitOfWork,
    objects: Objects,
    *,
    retention: float = 3600,
    abandoned_after: float = 3600,
    expire: dict[str, timedelta] | None = None,
) -> Sweeper:
    """Return a sweeper; with 0 all that is older is due, with less even what is not."""
    return Sweeper(
        unit=unit,
        objects=objects,
        kept=dict.fromkeys(Reason, timedelta(seconds=retention)),
        abandoned_after=timedelta(seconds=abandoned_after),
        expire=expire,
    )


class User:
    """Somebody who uses files as a client does: plans by messages, bytes by presigned URLs. New unless named."""

    def __init__(self, bus: Bus, principal: Principal | None = None) -> None:
        self.bus = bus
        self.principal = principal or Principal(subject=f"ada.{os.urandom(4).hex()}@lab")

    async def ask(self, query: Query) -> Any:
        """Ask storage."""
        return await self.bus.ask(query)

    async def order(self, command: Command, answer: Any = FileRecord) -> Any:
        """Send a command and wait for what comes of it."""
        return await self.bus.order(command, Context.start(f"user:{self.principal.subject}"), wait=15, answer=answer)

    async def open(self, path: str, content: bytes, *, sha256: str | None = None, **more: Any) -> UploadPlan:
        """Open an upload."""
        plan: UploadPlan = await self.ask(
            OpenUpload(principal=self.principal, path=path, size=len(content), sha256=sha256, **more)
        )
        return plan

    async def resume(self, ticket: str) -> UploadPlan:
        """Take an upload up again."""
        plan: UploadPlan = await self.ask(ResumeUpload(principal=self.principal, ticket=ticket))
        return plan

    async def complete(self, plan: UploadPlan, done: list[PartDone] | None = None) -> FileRecord:
        """Complete an upload."""
        record: FileRecord = await self.order(CompleteUpload(ticket=plan.ticket, parts=done or []))
        return record

    async def put(self, path: str, content: bytes, **more: Any) -> FileRecord:
        """Upload a file."""
        plan = await self.open(path, content, **more)
        return await self.complete(plan, [await put_part(part, content) for part in plan.parts])

    async def get(self, path: str, owner: str | None = None) -> FileRecord:
        """Look at a file."""
        record: FileRecord = await self.ask(GetFile(principal=self.principal, path=path, owner=owner))
        return record

    async def page(self, **query: Any) -> FilePage:
        """List files."""
        page: FilePage = await self.ask(ListFiles(principal=self.principal, **query))
        return page

    async def delete(self, path: str, *, recursive: bool = False, forever: bool = False) -> int:
        """Delete a file or a folder."""
        command = DeleteFile(principal=self.principal, path=path, recursive=recursive, forever=forever)
        answer: Deleted = await self.order(command, Deleted)
        return answer.deleted

    async def make(self, path: str) -> str:
        """Make a folder."""
        made: Folder = await self.order(MakeFolder(principal=self.principal, path=path), Folder)
        return made.path

    async def move(self, path: str, to: str, **more: bool) -> Moved:
        """Give a file or a folder another name."""
        moved: Moved = await self.order(MoveFile(principal=self.principal, path=path, to=to, **more), Moved)
        return moved

    async def folder(self, path: str, owner: str | None = None) -> FolderRecord:
        """Look what a folder holds."""
        found: FolderRecord = await self.ask(GetFolder(principal=self.principal, path=path, owner=owner))
        return found

    async def usage(self) -> StorageUsage:
        """Look what all files come to."""
        found: StorageUsage = await self.ask(GetStorageUsage(principal=self.principal))
        return found

    async def versions(self, **query: Any) -> list[Version]:
        """List what files were before."""
        page: VersionPage = await self.ask(ListVersions(principal=self.principal, **query))
        return page.items

    async def rule(self, path: str | None, **more: Any) -> FolderRule:
        """Say what holds for a folder."""
        owner, by = self.principal.subject, ADMIN if path is None else self.principal
        command = SetFolderRule(principal=by, owner=owner, path=path, rule=FolderRuleSpec(**more))
        rule: FolderRule = await self.order(command, FolderRule)
        return rule

    async def restore(self, path: str, *, folder: bool = False) -> int:
        """Bring back what is in the trash."""
        command = RestoreFile(principal=self.principal, path=path, folder=folder)
        found: Restored = await self.order(command, Restored)
        return found.restored

    async def bring(self, version: Version, to: str | None = None) -> str:
        """Let a file be as it was."""
        command = RestoreVersion(principal=self.principal, which=version.id, to=to)
        found: Restored = await self.order(command, Restored)
        return found.path

    async def names(self, prefix: str = "", *, recursive: bool = True) -> list[str]:
        """List files and folders, by path."""
        page = await self.page(prefix=prefix, recursive=recursive, limit=1000)
        return sorted([file.path for file in page.items] + [folder.path for folder in page.folders])

    async def redeliver(self, command: Command, times: int = 2) -> None:
        """Have the stream bring one and the same command several times, and wait until nothing is left of it."""
        context = Context.start(f"user:{self.principal.subject}")
        envelope = Envelope.wrap(command, context, source="test", subject=command.target_id)
        for number in range(times):
            await self.bus.publish(subject_of(command), envelope.to_bytes(), f"{envelope.id}-{number}")
        async with asyncio.timeout(10):
            while True:
                if not (await self.bus.jetstream.stream_info("COMMANDS")).state.messages:
                    return
                await asyncio.sleep(0.01)

    async def events(self, kind: type[_M], count: int = 1) -> list[_M]:
        """Return the events of a kind about the user's files, when there are at least *count*."""
        noun, _, fact = kind.name.partition(".")
        async with asyncio.timeout(10):
            found = await self._events(kind, event_subject(noun, fact))
            while len(found) < count:
                await asyncio.sleep(0.01)
                found = await self._events(kind, event_subject(noun, fact))
        await asyncio.sleep(0.05)  # a second one, if somebody were to say it, would be there by now
        return await self._events(kind, event_subject(noun, fact))

    async def _events(self, kind: type[_M], subject: str) -> list[_M]:
        jetstream = self.bus.jetstream
        subjects = (await jetstream.stream_info("EVENTS", subjects_filter=subject)).state.subjects or {}
        if kind in {FileStored, FileDeleted}:
            assert set(subjects.values()) <= {1}, "every file has a subject of its own, and one event"
        found = [Envelope.from_bytes((await jetstream.get_last_msg("EVENTS", one)).data or b"") for one in subjects]
        return [envelope.unwrap(kind) for envelope in found if envelope.owner == self.principal.subject]


async def put_part(part: Part, content: bytes) -> PartDone:
    """Bring one part."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        response = await http.put(part.url, content=content[part.offset : part.offset + part.size])
    response.raise_for_status()
    return PartDone(number=part.number, etag=response.headers["ETag"].strip('"'))


def key_in(url: str) -> str:
    """Return the key of the object that a presigned URL is for."""
    return url.partition("?")[0].partition(f"/{_BUCKET}/")[2]


async def fetch(url: str) -> httpx.Response:
    """GET a presigned URL."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        return await http.get(url)


def run_ticket(owner: str, workload_id: str, attempt: int = 1, *, folders: Sequence[str] = ()) -> str:
    """Return the ticket that the scheduler gives a runner."""
    ticket = RunTicket(owner=owner, workload_id=workload_id, attempt=attempt, folders=list(folders))
    return Tickets(_KEY, RunTicket).issue(ticket)
