"""What is behind a gateway: small services on a real NATS that hold their answers in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from urllib.parse import quote

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from contracts.catalog import AppPart, Catalog, Entrypoint, Handler
from contracts.command import Command
from contracts.commands import (
    COMMANDS,
    CancelWorkload,
    CompleteUpload,
    DeleteFile,
    HoldWorkload,
    RetryWorkload,
    StartWorkload,
    SubmitWorkload,
)
from contracts.envelope import Context, Envelope
from contracts.errors import ConflictError, ForbiddenError, InvalidError, MismatchError, NotFoundError
from contracts.events import Event, WorkloadMoved
from contracts.explanations import Explanation, Why
from contracts.files import Deleted, DownloadUrl, FileRecord, Folder, Part, UploadPlan
from contracts.grants import FoldersSharedWith, GrantPage, WorkloadsSharedWith
from contracts.model import now
from contracts.queries import (
    QUERIES,
    BackendView,
    CheckHealth,
    DownloadFile,
    ExplainWorkload,
    FilePage,
    GetFile,
    GetHistory,
    GetWorkload,
    Health,
    History,
    ListApplications,
    ListBackends,
    ListFiles,
    ListWorkloads,
    OpenUpload,
    Query,
    ReplayLog,
    ResumeUpload,
    SumUsage,
    WorkloadPage,
)
from contracts.runs import LogChunk
from contracts.states import Reason, WorkloadState
from contracts.subjects import log_subject, subject_of
from contracts.transfers import DownloadFolder, FolderContent, FormUpload, OpenForm, StoredAt
from contracts.usage import ReplayReport, UsageFigures, UsageRow, UsageSummary
from contracts.workloads import OutputFile, Transition, Workload
from services.chassis.answers import Written
from services.chassis.bus import Bus, CommandHandler, Delivery, QueryHandler
from services.chassis.http import serve_http
from services.chassis.policy import owner_or_self, require_visible
from services.chassis.settings import NatsSettings, Server
from tests.support.servers import free_ports

__all__ = ["Site", "run_site"]


@dataclass
class Site:
    """The scheduler, storage, accounting and the object store, as far as the gateway can tell."""

    scheduler: Bus
    storage: Bus
    accounting: Bus
    store_url: str = ""
    workloads: dict[str, Workload] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    files: dict[tuple[str, str], FileRecord] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[BaseModel] = field(default_factory=list)
    part_size: int = 1 << 20
    folder_page: int = 2
    breaks: int = 0
    """How often the store breaks off in the middle of its next answers."""

    # --- the scheduler ----------------------------------------------------------------------------------------

    async def submit(self, command: SubmitWorkload, _delivery: Delivery) -> Workload:
        if command.spec.placement.backend == "nowhere":
            raise InvalidError.of("placement.backend", "there is no backend 'nowhere'")
        if known := self.workloads.get(command.workload_id):
            if self.hashes[known.id] != command.request_hash:
                raise MismatchError("the key was used for another request")
            return known
        self.hashes[command.workload_id] = command.request_hash
        state = WorkloadState.HELD if command.spec.hold else WorkloadState.ACCEPTED
        workload = Workload(
            id=command.workload_id,
            owner=command.principal.subject,
            project=command.spec.project or command.principal.default_project,
            name=command.spec.name,
            labels=command.spec.labels,
            spec=command.spec,
            state=state,
            reason=Reason.SUBMITTED,
            created_at=now(),
            updated_at=now(),
        )
        self.workloads[workload.id] = workload
        return workload

    def _mine(
        self,
        query: GetWorkload
        | GetHistory
        | ExplainWorkload
        | CancelWorkload
        | HoldWorkload
        | StartWorkload
        | RetryWorkload,
    ) -> Workload:
        workload = self.workloads.get(query.workload_id)
        if workload is None:
            raise NotFoundError(f"{query.workload_id} does not exist")
        require_visible(query.principal, workload.owner, workload.project, workload.id)
        return workload

    async def cancel(self, command: CancelWorkload, _delivery: Delivery) -> Workload:
        workload = self._mine(command)
        if workload.state is WorkloadState.CANCELED:
            return workload
        if workload.state.is_terminal:
            raise ConflictError(f"{workload.id} has ended: {workload.state}")
        self.workloads[workload.id] = workload.model_copy(update={"cancel_requested": True})
        return self.workloads[workload.id]

    async def hold(self, command: HoldWorkload, _delivery: Delivery) -> Workload:
        workload = self._mine(command)
        if workload.state not in {WorkloadState.ACCEPTED, WorkloadState.HELD}:
            raise ConflictError(f"{workload.id} is {workload.state} already")
        self.workloads[workload.id] = workload.model_copy(update={"state": WorkloadState.HELD})
        return self.workloads[workload.id]

    async def explain(self, query: ExplainWorkload) -> Explanation:
        workload = self._mine(query)
        return Explanation(
            workload_id=workload.id,
            state=workload.state,
            why=Why.HANDED_OVER,
            message="it is on its way",
            since=workload.updated_at,
        )

    async def start(self, command: StartWorkload, _delivery: Delivery) -> Workload:
        workload = self._mine(command)
        if workload.state is not WorkloadState.HELD:
            raise ConflictError(f"{workload.id} is not held")
        return workload

    async def retry(self, command: RetryWorkload, delivery: Delivery) -> Workload:
        old = self._mine(command)
        again = SubmitWorkload(workload_id=command.new_id, principal=command.principal, spec=old.spec)
        made = await self.submit(again, delivery)
        self.workloads[made.id] = made.model_copy(update={"retry_of": old.id})
        return self.workloads[made.id]

    async def get(self, query: GetWorkload) -> Workload:
        self.asked.append(query)
        return self._mine(query)

    async def history(self, query: GetHistory) -> History:
        workload = self._mine(query)
        first = Transition(
            revision=1, state=WorkloadState.ACCEPTED, at=workload.created_at, attempt=1, reason=Reason.SUBMITTED
        )
        return History(workload_id=workload.id, transitions=[first])

    async def page(self, query: ListWorkloads) -> WorkloadPage:
        self.asked.append(query)
        if query.cursor is not None and not (query.cursor.isascii() and query.cursor.isdigit()):
            raise InvalidError.of("cursor", "is not one of ours")
        start = int(query.cursor or 0)
        mine = [item for item in self.workloads.values() if item.owner == query.principal.subject]
        items = mine[start : start + query.limit]
        more = start + query.limit < len(mine)
        return WorkloadPage(items=items, next_cursor=str(start + query.limit) if more else None)

    async def backends(self, _query: ListBackends) -> list[BackendView]:
        return [BackendView(backend="local", kind="local", healthy=True, cpus=2.0)]

    async def applications(self, _query: ListApplications) -> Catalog:
        train = Entrypoint(app=AppPart(cmd=["true"], env=["SEED"]), handler=Handler(files_down={"data_ids": "data"}))
        return Catalog(applications={"decode": {"v1": {"train": train}}}, sha256="0" * 64, loaded_at=now())

    async def move(self, job_id: str, state: WorkloadState, **more: object) -> Workload:
        """Move a job and say so, as the scheduler does."""
        old = self.workloads[job_id]
        reason = Reason.EXITED if state.is_terminal else Reason.STARTED
        changes = {"state": state, "reason": reason, "revision": old.revision + 1, "updated_at": now(), **more}
        workload = self.workloads[job_id] = Workload.model_validate({**old.model_dump(), **changes})
        await self.announce(
            WorkloadMoved(
                workload_id=job_id,
                owner=workload.owner,
                project=workload.project,
                revision=workload.revision,
                old=old.state,
                new=state,
                at=workload.updated_at,
                attempt=workload.attempt,
                reason=reason,
            )
        )
        return workload

    async def announce(self, event: Event) -> None:
        """Say an event, as a relay does."""
        context = Context.start("service:scheduler")
        envelope = Envelope.wrap(event, context, source="scheduler", subject=event.subject_id)
        await self.scheduler.publish(subject_of(event), envelope.to_bytes(), envelope.id)

    async def print(self, job_id: str, data: bytes, *, offset: int, attempt: int = 1, stream: str = "stdout") -> None:
        """Publish a chunk of output, as a runner does."""
        await self.scheduler.publish(
            log_subject(job_id, attempt, stream),
            data,
            f"{job_id}-{attempt}-{stream}-{offset}",
            {LogChunk.OFFSET: str(offset)},
        )

    def archive(self, job_id: str, name: str, data: bytes) -> OutputFile:
        """Keep a file that a job left behind."""
        owner = self.workloads[job_id].owner
        self.keep(owner, f"jobs/{job_id}/{name}", data)
        return OutputFile(path=name, size=len(data), sha256=sha256(data).hexdigest())

    # --- storage ----------------------------------------------------------------------------------------------

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

    async def usage(self, query: SumUsage) -> UsageSummary:
        self.asked.append(query)
        figures = UsageFigures(segments=1, cpu_hours=0.5)
        return UsageSummary(rows=[UsageRow(owner=query.principal.subject, figures=figures)], total=figures)

    async def replay(self, _query: ReplayLog) -> ReplayReport:
        empty = UsageSummary(rows=[], total=UsageFigures())
        return ReplayReport(
            equal=True, events=0, last_sequence=0, seconds=0.0, live=empty, replayed=empty, started_at=now()
        )

    # --- all --------------------------------------------------------------------------------------------------

    def forget(self) -> Site:
        """Begin anew, so that many tests can share one site."""
        for memory in (self.workloads, self.hashes, self.files, self.objects, self.asked):
            memory.clear()
        self.breaks = 0
        return self

    async def start_scheduler(self, *, commands: bool = True) -> None:
        """Begin to answer as the scheduler and, unless told otherwise, to handle commands."""
        if commands:
            self.scheduler.handle_commands(
                {
                    **_unknown_commands("scheduler"),
                    SubmitWorkload: self.submit,
                    CancelWorkload: self.cancel,
                    HoldWorkload: self.hold,
                    StartWorkload: self.start,
                    RetryWorkload: self.retry,
                }
            )
        played: dict[type[Query], QueryHandler] = {
            GetWorkload: self.get,
            GetHistory: self.history,
            ExplainWorkload: self.explain,
            ListWorkloads: self.page,
            ListBackends: self.backends,
            ListApplications: self.applications,
            WorkloadsSharedWith: _shares_nothing,
            CheckHealth: _well("scheduler"),
        }
        self.scheduler.answer_queries({**_unknown_queries("scheduler"), **played})
        await self.scheduler.start()

    async def start_others(self) -> None:
        """Begin to answer as storage and accounting."""
        self.storage.handle_commands(
            {**_unknown_commands("storage"), CompleteUpload: self.complete, DeleteFile: self.delete}
        )
        self.storage.answer_queries(
            {
                **_unknown_queries("storage"),
                GetFile: self.file,
                ListFiles: self.list_files,
                DownloadFile: self.download,
                DownloadFolder: self.download_folder,
                OpenForm: self.open_form,
                OpenUpload: self.open_upload,
                ResumeUpload: self.resume,
                FoldersSharedWith: _shares_nothing,
                CheckHealth: _well("storage"),
            }
        )
        self.accounting.answer_queries({SumUsage: self.usage, ReplayLog: self.replay, CheckHealth: _well("accounting")})
        await asyncio.gather(self.storage.start(), self.accounting.start())


async def _break_off(data: bytes) -> AsyncIterator[bytes]:
    """Give half of the bytes, and fail; the server drops the connection then."""
    yield data[: len(data) // 2]
    raise ConnectionResetError("the store is tired")


def _read_ticket(ticket: str) -> list[str]:
    parts = ticket.split("|")
    if len(parts) != 3:
        raise ForbiddenError("the ticket is not valid")
    return parts


async def _has_none(_query: Query) -> None:
    raise NotFoundError("this site knows jobs only")


def _unknown_queries(service: str) -> dict[type[Query], QueryHandler]:
    return {kind: _has_none for kind in QUERIES if kind.service == service}


def _unknown_commands(service: str) -> dict[type[Command], CommandHandler]:
    return {kind: _does_none for kind in COMMANDS if kind.service == service}


async def _does_none(_command: Command, _delivery: Delivery) -> Written:
    raise NotFoundError("this site knows jobs only")


async def _shares_nothing(_query: Query) -> GrantPage:
    return GrantPage(items=[])


def _well(service: str) -> QueryHandler:
    async def answer(_query: CheckHealth) -> Health:
        return Health(service=service, ready=True, checks={"nats": "ok"})

    return answer


@asynccontextmanager
async def run_site(nats: NatsSettings, *, scheduler: bool = True) -> AsyncIterator[Site]:
    """Run the services behind the gateway; without *scheduler* it is away until it is started."""
    site = Site(Bus(nats, "scheduler"), Bus(nats, "storage"), Bus(nats, "accounting"))
    async with AsyncExitStack() as stack:
        for bus in (site.scheduler, site.storage, site.accounting):
            await bus.connect()
            stack.push_async_callback(bus.stop)
        (port,) = free_ports(1)
        app = Starlette(routes=[Route("/{key:path}", site.store, methods=["GET", "PUT"])])
        await stack.enter_async_context(serve_http(app, Server(port=port)))
        site.store_url = f"http://127.0.0.1:{port}"
        await site.start_others()
        if scheduler:
            await site.start_scheduler()
        yield site
