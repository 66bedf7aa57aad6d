"""Shunter from an asyncio program: the same calls as `shunter.client`, awaited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from httpx_sse import EventSource
from tenacity import AsyncRetrying

from contracts.backends import BackendView
from contracts.catalog import Catalog
from contracts.errors import NotFoundError, UnavailableError
from contracts.explanations import Explanation
from contracts.files import DownloadUrl, FileRecord
from contracts.queries import History, TaskPage
from contracts.spec import JobSpec
from contracts.tasks import Task, TaskState
from contracts.usage import GroupBy, ReplayReport, UsageSummary
from contracts.workloads import OutputFile

from .bulk import AsyncBulk
from .calls import files, jobs, records, tasks
from .calls.call import Call
from .calls.jobs import JobFilter
from .calls.records import EventFilter, UsageFilter
from .client import DEFAULT_GROUPS, LONG_PATIENCE, Client, is_pending, job_id_of
from .clusters import AsyncClusters
from .connection import Connection
from .feeds import EventFeed, Feed, LogFeed
from .folders import AsyncFolders
from .identity import AsyncIdentity
from .many import AsyncMany
from .models import EventItem, EventPage, FileList, JobPage, JobView, LogChunk, Submission, TaskLogPage, WhoAmI
from .operations import AsyncOperations
from .problems import connecting, error_from
from .retrying import Patience, policy
from .sharing import AsyncSharing
from .transfers.metering import Progress
from .wire import async_wire

__all__ = ["AsyncClient"]

T = TypeVar("T")

_LONG_POLL = 30.0
"""Seconds of one request that waits for the end of a job."""


class AsyncClient(AsyncMany):
    """A connection to a Shunter server. All methods raise the errors of `contracts.errors`.

    Files travel in threads, by *carrier*: reading and writing them would stop the loop.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        connection: Connection | None = None,
        patience: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        carrier: Client | None = None,
    ) -> None:
        self.connection = connection or Connection.find(url, token)
        self._patience = patience
        self._sleep = sleep
        self._carrier = carrier or Client(connection=self.connection, patience=patience)
        self.operations, self.clusters = AsyncOperations(self._send), AsyncClusters(self._send)
        self.identity, self.folders = AsyncIdentity(self._send), AsyncFolders(self._send)
        self.sharing = AsyncSharing(self._send, self._carrier.sharing)
        self.bulk = AsyncBulk(self._send, self._carrier.bulk)
        self._http = httpx.AsyncClient(**async_wire(self.connection, transport))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        self._carrier.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # --- jobs -------------------------------------------------------------------------------------------------

    async def submit(self, spec: JobSpec, *, key: str | None = None, wait: float | None = None) -> Submission:
        """Submit a job. The same *key* twice makes one job; one is made up if none is given."""
        return await self._send(jobs.submit_job(spec, key=key, wait=wait))

    async def get_job(self, job_id: str) -> JobView:
        """Return a job."""
        return await self._send(jobs.get_job(job_id))

    async def list_jobs(
        self, wanted: JobFilter | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> JobPage:
        """Return a page of jobs, newest first."""
        return await self._send(jobs.list_jobs(wanted or JobFilter(), limit=limit, cursor=cursor))

    async def wait(self, job: str | Submission, *, timeout: float | None = None) -> JobView:
        """Wait for the end of a job; outlives restarts of the server. Raises `TimeoutError` after *timeout*."""
        async with asyncio.timeout(timeout):
            while True:
                call = jobs.get_job(job_id_of(job), wait=_LONG_POLL, until="terminal")
                try:
                    found = await self._send(call, patience=max(self._patience, LONG_PATIENCE))
                    if found.state.is_terminal:
                        return found
                except NotFoundError:
                    if not is_pending(job):
                        raise
                await self._sleep(0.2)

    async def get_history(self, job_id: str) -> History:
        """Return all moves of a job."""
        return await self._send(jobs.get_history(job_id))

    async def explain(self, job_id: str) -> Explanation:
        """Return why a job is where it is, what that rests on, and what comes next."""
        return await self._send(jobs.explain_job(job_id))

    async def hold(self, job_id: str) -> JobView | None:
        """Keep a job that waits from starting; none: the scheduler is away, the command is kept."""
        return await self._send(jobs.hold_job(job_id))

    async def release(self, job_id: str) -> JobView | None:
        """Let a held job go, as far as nothing else holds it up; none: the scheduler is away, the command is kept."""
        return await self._send(jobs.release_job(job_id))

    async def start(self, job_id: str) -> JobView | None:
        """Let a held job go; none: the scheduler is away, the command is kept."""
        return await self._send(jobs.start_job(job_id))

    async def cancel(self, job_id: str, *, tasks: str | None = None) -> JobView | None:
        """End a job, or only the *tasks* of an array, such as `3,7-10`; its state says when it has ended.

        None: the scheduler is away, the command is kept.
        """
        return await self._send(jobs.cancel_job(job_id, tasks=tasks))

    async def remove(self, job_id: str) -> bool:
        """Have a job gone, with its outputs and logs; one that has not ended is cancelled first.

        False: the scheduler is away, the command is kept.
        """
        return await self._send(jobs.remove_job(job_id))

    async def retry(
        self, job_id: str, *, tasks: Literal["all", "failed"] = "all", key: str | None = None
    ) -> Submission:
        """Run an ended job again, as a new one; of an array all tasks, or those that failed."""
        return await self._send(jobs.retry_job(job_id, tasks=tasks, key=key))

    async def list_tasks(
        self, job_id: str, states: Sequence[TaskState] = (), *, limit: int = 100, cursor: str | None = None
    ) -> TaskPage:
        """Return a page of the tasks of an array, by their number."""
        return await self._send(tasks.list_tasks(job_id, states, limit=limit, cursor=cursor))

    async def get_task(self, job_id: str, index: int) -> Task:
        """Return one task of an array."""
        return await self._send(tasks.get_task(job_id, index))

    async def get_task_log(
        self, job_id: str, index: int, *, stream: str = "stdout", attempt: int | None = None
    ) -> bytes:
        """Return what a task of an array printed, once it has ended."""
        return await self._send(tasks.get_task_log(job_id, index, stream=stream, attempt=attempt))

    async def list_task_logs(
        self, job_id: str, states: Sequence[TaskState] = (), *, limit: int = 100, cursor: str | None = None
    ) -> TaskLogPage:
        """Return a page of what the tasks of an array printed: where it is and how long."""
        return await self._send(tasks.list_task_logs(job_id, states, limit=limit, cursor=cursor))

    async def get_log(self, job_id: str, *, stream: str = "stdout", attempt: int | None = None) -> bytes:
        """Return what a job has printed so far."""
        return await self._send(jobs.get_log(job_id, stream=stream, attempt=attempt))

    def follow_log(
        self, job_id: str, *, stream: str | None = None, attempt: int | None = None
    ) -> AsyncIterator[LogChunk]:
        """Go through what a job prints, from the beginning until it ends; outlives restarts of the server."""
        return self._follow(LogFeed(job_id, stream=stream, attempt=attempt))

    async def list_outputs(self, job_id: str) -> list[OutputFile]:
        """Return what a job left behind."""
        return (await self._send(jobs.list_outputs(job_id))).items

    async def download_output(
        self, job_id: str, path: str, target: Path | str, *, progress: Progress | None = None
    ) -> DownloadUrl:
        """Fetch a file that a job left behind; it is verified before it takes its place."""
        return await _carry(
            lambda stop: self._carrier.download_output(job_id, path, target, progress=progress, stop=stop)
        )

    # --- files ------------------------------------------------------------------------------------------------

    async def list_files(
        self, prefix: str = "", *, recursive: bool = True, limit: int = 100, cursor: str | None = None
    ) -> FileList:
        """Return a page of files below a prefix."""
        return await self._send(files.list_files(prefix, recursive=recursive, limit=limit, cursor=cursor))

    async def upload(
        self,
        local: Path | str,
        remote: str | None = None,
        *,
        content_type: str | None = None,
        progress: Progress | None = None,
    ) -> FileRecord:
        """Bring a file, in parallel parts; a broken upload of the same bytes is taken up where it ended."""
        return await _carry(
            lambda stop: self._carrier.upload(local, remote, content_type=content_type, progress=progress, stop=stop)
        )

    async def download(self, remote: str, target: Path | str, *, progress: Progress | None = None) -> DownloadUrl:
        """Fetch a file; it is verified before it takes its place, and a broken download is taken up again."""
        return await _carry(lambda stop: self._carrier.download(remote, target, progress=progress, stop=stop))

    async def delete_file(self, path: str, *, recursive: bool = False, forever: bool = False) -> bool:
        """Remove a file, or a folder with all that is in it; false: storage is away, it will be done later."""
        return await self._send(files.delete_file(path, recursive=recursive, forever=forever))

    # --- figures and facts ------------------------------------------------------------------------------------

    async def sum_usage(
        self, group_by: Sequence[GroupBy] = DEFAULT_GROUPS, wanted: UsageFilter | None = None
    ) -> UsageSummary:
        """Return what was used, summed up by groups."""
        return await self._send(records.sum_usage(group_by, wanted or UsageFilter()))

    async def replay_log(self) -> ReplayReport:
        """Rebuild the figures from the event log alone and compare them with those that are kept."""
        return await self._send(records.replay_log())

    async def list_events(
        self, wanted: EventFilter | None = None, *, since_sequence: int = 0, limit: int = 500
    ) -> EventPage:
        """Return a page of events, oldest first."""
        call = records.list_events(wanted or EventFilter(), since_sequence=since_sequence, limit=limit)
        return await self._send(call)

    def follow_events(self, wanted: EventFilter | None = None, *, since_sequence: int = 0) -> AsyncIterator[EventItem]:
        """Go through events as they happen; it has no end."""
        return self._follow(EventFeed(wanted or EventFilter(), since_sequence=since_sequence))

    async def list_backends(self) -> list[BackendView]:
        """Return the clusters and what is free on them."""
        return (await self._send(records.list_backends())).items

    async def list_applications(self) -> Catalog:
        """Return what can be started by its name."""
        return await self._send(records.list_applications())

    async def who_am_i(self) -> WhoAmI:
        """Return whom the server takes us for."""
        return await self._send(records.who_am_i())

    async def get_readiness(self) -> dict[str, Any]:
        """Return what every part of the server says about itself."""
        return await self._send(records.get_readiness())

    # --- sending ----------------------------------------------------------------------------------------------

    async def _send(self, call: Call[T], *, patience: float | None = None) -> T:
        rules = policy(repeatable=call.repeatable, patience=self._patience if patience is None else patience)
        return await AsyncRetrying(**rules, sleep=self._sleep)(self._send_once, call)

    async def _send_once(self, call: Call[T]) -> T:
        with connecting(self.connection.url):
            response = await self._http.send(call.to_request(self._http))
        return call.read(response)

    async def _follow(self, feed: Feed[T]) -> AsyncIterator[T]:
        patience = Patience(max(self._patience, LONG_PATIENCE))
        while not feed.is_over:
            lost: UnavailableError | None = None
            try:
                async with aclosing(self._listen(feed)) as items:
                    async for item in items:
                        patience.renew()
                        yield item
            except UnavailableError as error:
                lost = error
            if not feed.is_over:
                await self._sleep(patience.next_pause(lost))

    async def _listen(self, feed: Feed[T]) -> Any:
        with connecting(self.connection.url):
            response = await self._http.send(feed.call().to_request(self._http), stream=True)
            try:
                if not response.is_success:
                    raise error_from(response.status_code, response.headers, await response.aread())
                async for event in EventSource(response).aiter_sse():
                    if (item := feed.take(event)) is not None:
                        yield item
                    if feed.is_over:
                        return
            finally:
                await response.aclose()


async def _carry(work: Callable[[threading.Event], T]) -> T:
    """Run a transfer in a thread; when we are cancelled it ends at its next byte."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(work, stop)
    finally:
        stop.set()
