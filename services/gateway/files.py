"""Files, as users ask for them: storage knows them, the store holds them."""

from __future__ import annotations

import re

from contracts.commands import CompleteUpload, DeleteFile
from contracts.errors import NotFoundError, UnavailableError
from contracts.file_commands import MakeFolder, MoveFile
from contracts.file_queries import GetFolder
from contracts.files import DownloadUrl, FileRecord, Folder, FolderRecord, Moved, PartDone, UploadPlan
from contracts.principals import Principal
from contracts.queries import DownloadFile, FilePage, GetFile, GetWorkload, ListFiles, OpenUpload, ResumeUpload
from contracts.workloads import Workload
from services.chassis.bus import Bus
from services.chassis.policy import longest_url, power_over

from .callers import Caller

__all__ = ["FileService"]

_OF_JOB = re.compile(r"jobs/([a-z]{3}-[0-9a-f]{32})/")

_COMPLETE_WAIT = 300.0
"""Seconds that storage has to check an upload; it may have to read all of it."""


class FileService:
    """Lists, fetches and keeps files for one caller."""

    def __init__(self, *, bus: Bus, caller: Caller, wait: float) -> None:
        self._bus = bus
        self._caller = caller
        self._wait = wait

    async def page(
        self, *, prefix: str, recursive: bool, limit: int, cursor: str | None, owner: str | None
    ) -> FilePage:
        """Return some files below a prefix."""
        query = ListFiles(
            principal=await self.reader(prefix, owner),
            prefix=prefix,
            recursive=recursive,
            limit=limit,
            cursor=cursor,
            owner=owner,
        )
        page: FilePage = await self._bus.ask(query)
        return page

    async def record(self, path: str, owner: str | None) -> FileRecord:
        """Return what is known of a file."""
        query = GetFile(principal=await self.reader(path, owner), path=path, owner=owner)
        record: FileRecord = await self._bus.ask(query)
        return record

    async def url(self, path: str, owner: str | None, expires: float = 3600.0) -> DownloadUrl:
        """Return where a file can be fetched without us."""
        longest = longest_url(self._caller.principal, owner or self._caller.principal.subject, expires)
        query = DownloadFile(principal=await self.reader(path, owner), path=path, owner=owner, expires=longest)
        found: DownloadUrl = await self._bus.ask(query)
        return found

    async def plan(
        self,
        path: str,
        size: int,
        sha256: str | None,
        content_type: str,
        owner: str | None = None,
        *,
        reuse: bool = False,
    ) -> UploadPlan:
        """Agree with storage on an upload; *owner* is who shares the folder, if it is not the caller's own.

        With *reuse* the plan has no parts if the caller has a file of this content already.
        """
        query = OpenUpload(
            principal=self._caller.principal,
            path=path,
            size=size,
            sha256=sha256,
            content_type=content_type,
            owner=owner,
            reuse=reuse,
        )
        plan: UploadPlan = await self._bus.ask(query)
        return plan

    async def resume(self, ticket: str) -> UploadPlan:
        """Ask which parts of an upload are missing."""
        plan: UploadPlan = await self._bus.ask(ResumeUpload(principal=self._caller.principal, ticket=ticket))
        return plan

    async def complete(self, ticket: str, parts: list[PartDone]) -> FileRecord:
        """Have storage check an upload and make the file."""
        record: FileRecord | None = await self._bus.order(
            CompleteUpload(ticket=ticket, parts=parts), self._caller.context, wait=_COMPLETE_WAIT, answer=FileRecord
        )
        if record is None:
            raise UnavailableError("storage does not answer; the upload is kept and will be completed", retry_after=5.0)
        return record

    async def exists(self, path: str, owner: str | None = None) -> bool:
        """Say whether there is a file of this name."""
        try:
            await self.record(path, owner)
        except NotFoundError:
            return False
        return True

    async def delete(self, path: str, *, recursive: bool, forever: bool = False) -> bool:
        """Remove a file or folder; False if storage is away, then it will be done later."""
        command = DeleteFile(principal=self._caller.principal, path=path, recursive=recursive, forever=forever)
        answer = await self._bus.order(command, self._caller.context, wait=self._wait, answer=dict[str, int])
        return answer is not None

    async def folder(self, path: str, owner: str | None = None) -> FolderRecord:
        """Return what a folder holds."""
        found: FolderRecord = await self._bus.ask(
            GetFolder(principal=await self.reader(f"{path}/", owner), path=path, owner=owner)
        )
        return found

    async def make_folder(self, path: str) -> Folder | None:
        """Let there be a folder, also while nothing is in it; none if storage is away, then it will be done later."""
        command = MakeFolder(principal=self._caller.principal, path=path)
        made: Folder | None = await self._bus.order(command, self._caller.context, wait=self._wait, answer=Folder)
        return made

    async def move(self, path: str, to: str, *, folder: bool = False, replace: bool = False) -> Moved | None:
        """Give a file or a folder another name; none if storage is away, then it will be done later."""
        command = MoveFile(principal=self._caller.principal, path=path, to=to, folder=folder, replace=replace)
        moved: Moved | None = await self._bus.order(command, self._caller.context, wait=self._wait, answer=Moved)
        return moved

    async def reader(self, path: str, owner: str | None) -> Principal:
        """Return in whose name storage is asked: the owner's, for files of a job of theirs that the caller may see.

        Storage knows of shared folders; who may see a job, only the scheduler knows.
        """
        caller, found = self._caller.principal, _OF_JOB.match(path)
        if owner is None or not found or power_over(caller, owner, None):
            return caller
        try:
            job: Workload = await self._bus.ask(GetWorkload(principal=caller, workload_id=found[1]))
        except NotFoundError:
            return caller
        return Principal(subject=owner, issuer="gateway") if job.owner == owner else caller
