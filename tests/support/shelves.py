"""Storage's services for names on a database alone, without a bus and without a store: what they say is kept here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.commands import DeleteFile
from contracts.envelope import Context, Envelope
from contracts.file_commands import MakeFolder, MoveFile, PurgeVersions, RestoreFile, SetFolderRule
from contracts.ids import message_id
from contracts.model import now
from contracts.principals import Principal
from contracts.shelves import FolderRuleSpec
from services.chassis.database import close_engine
from services.chassis.unit import OutboxRow, UnitOfWork, turn_for
from services.storage.keys import new_key
from services.storage.names import NameService
from services.storage.objects import Objects
from services.storage.rules import Quotas
from services.storage.ruling import RuleService
from services.storage.service import FileService
from services.storage.store import put_file
from services.storage.stored import Reason, StoredFile
from services.storage.tables import INBOX, OUTBOX
from services.storage.uploads import event_of
from services.storage.versions import VersionService

__all__ = ["Shelves", "open_shelves"]

_CONTEXT = Context.start("user:ada")


@dataclass(slots=True)
class Shelves:
    """What one owner does with names."""

    unit: UnitOfWork
    files: FileService
    names: NameService
    rules: RuleService
    versions: VersionService
    said: list[Envelope] = field(default_factory=list)
    principal: Principal = field(default_factory=lambda: Principal(subject="ada"))

    async def put(self, path: str, content: bytes) -> StoredFile:
        """Keep a file, as the end of an upload does."""
        owner = self.principal.subject
        digest, key = sha256(content).hexdigest(), new_key(owner)
        file = StoredFile(owner, path, key, len(content), digest, "text/plain", None, now())
        async with self.unit.begin(_CONTEXT) as work:
            await put_file(work.connection, file, message_id())
            work.send(event_of(file))
        return file

    async def make(self, path: str) -> None:
        """Make a folder."""
        command = MakeFolder(principal=self.principal, path=path)
        await self.names.make(command, cause=message_id(), context=_CONTEXT)

    async def move(self, path: str, to: str, *, folder: bool, replace: bool = False) -> None:
        """Give a file or a folder another name."""
        command = MoveFile(principal=self.principal, path=path, to=to, folder=folder, replace=replace)
        await self.names.move(command, cause=message_id(), context=_CONTEXT)

    async def delete(self, path: str, *, forever: bool = False) -> None:
        """Delete a file and the folder of its name."""
        command = DeleteFile(principal=self.principal, path=path, recursive=True, forever=forever)
        await self.files.delete(command, cause=message_id(), context=_CONTEXT)

    async def restore(self, path: str, *, folder: bool) -> None:
        """Bring back what is in the trash."""
        command = RestoreFile(principal=self.principal, path=path, folder=folder)
        await self.versions.restore(command, cause=message_id(), context=_CONTEXT)

    async def purge(self, path: str) -> None:
        """Empty the trash of a folder."""
        command = PurgeVersions(principal=self.principal, path=path)
        await self.versions.purge(command, cause=message_id(), context=_CONTEXT)

    async def bound(self, path: str, quota: int) -> None:
        """Say what a folder may hold."""
        rule = FolderRuleSpec.model_validate({"quota": quota})
        command = SetFolderRule(principal=self.principal, path=path, rule=rule)
        await self.rules.set(command, cause=message_id(), context=_CONTEXT)


@asynccontextmanager
async def open_shelves(engine: AsyncEngine, objects: Objects, *, quota: int | None = None) -> AsyncIterator[Shelves]:
    """Open the services on a database that has the tables."""
    said: list[Envelope] = []

    def hear(rows: list[OutboxRow]) -> None:
        said.extend(Envelope.from_bytes(row.payload) for row in rows)

    unit = UnitOfWork(engine=engine, inbox=INBOX, outbox=OUTBOX, source="storage", announce=hear, turn=turn_for(engine))
    quotas, kept = Quotas(quota), dict.fromkeys(Reason, timedelta(days=7))
    yield Shelves(
        unit=unit,
        files=FileService(unit=unit, objects=objects),
        names=NameService(unit=unit, quotas=quotas, areas=[]),
        rules=RuleService(unit=unit, quotas=quotas, kept=kept),
        versions=VersionService(unit=unit, quotas=quotas, kept=kept),
        said=said,
    )
    await close_engine(engine)
