"""Shunter from a Python program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from httpx_sse import EventSource
from tenacity import Retrying

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

from .bulk import Bulk
from .calls import files, jobs, records, tasks
from .calls.call import Call
from .calls.jobs import JobFilter
from .calls.records import EventFilter, UsageFilter
from .clusters import Clusters
from .connection import Connection
from .feeds import EventFeed, Feed, LogFeed
from .folders import Folders
from .identity import Identity
from .many import Many
from .models import EventItem, EventPage, FileList, JobPage, JobView, LogChunk, Submission, TaskLogPage, WhoAmI
from .operations import Operations
from .problems import connecting, error_from
from .retrying import Patience, policy
from .sharing import Sharing
from .transfers.downloads import Downloads
from .transfers.metering import Progress
from .transfers.store import Store
from .transfers.tickets import TicketCache, default_cache
from .transfers.uploads import Uploads
from .wire import uses_proxies, wire

__all__ = ["DEFAULT_GROUPS", "LONG_PATIENCE", "Client", "is_pending", "job_id_of"]

T = TypeVar("T")

DEFAULT_GROUPS = (GroupBy.OWNER, GroupBy.PROJECT, GroupBy.DAY)
"""How usage is summed up unless told otherwise."""

LONG_PATIENCE = 120.0
"""Seconds for which waiting, following and transfers outlive a server that is away."""

_LONG_POLL = 30.0
"""Seconds of one request that waits for the end of a job."""


class Client(Many):
    """A connection to a Shunter server. All methods raise the errors of `contracts.errors`.

    Without arguments it reads `SHUNTER_URL`, `SHUNTER_TOKEN` and the user's profile.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        connection: Connection | None = None,
        patience: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        cache: Path | None = None,
    ) -> None:
        self.connection = connection or Connection.find(url, token)
        self._patience = patience
        self._sleep = sleep
        self._http = httpx.Client(**wire(self.connection, transport))
        self._bare = httpx.Client(transport=transport, trust_env=uses_proxies(self.connection.base_url))
        store = Store(self._bare, patience=max(patience, LONG_PATIENCE), sleep=sleep)
        self.operations, self.clusters = Operations(self._send), Clusters(self._send)
        self.identity, self.folders = Identity(self._send), Folders(self._send)
        tickets = TicketCache(cache or default_cache())
        self._uploads = Uploads(server=self.connection.url, send=self._send_long, store=store, tickets=tickets)
        self._downloads = Downloads(store=store, patience=LONG_PATIENCE, sleep=sleep)
        self.sharing = Sharing(self._send, self._uploads, self._downloads)
        self.bulk = Bulk(self._send, self._http, self.connection.url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._bare.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- jobs -------------------------------------------------------------------------------------------------

    def submit(self, spec: JobSpec, *, key: str | None = None, wait: float | None = None) -> Submission:
        """Submit a job. The same *key* twice makes one job; one is made up if none is given."""
        return self._send(jobs.submit_job(spec, key=key, wait=wait))

    def get_job(self, job_id: str) -> JobView:
        """Return a job."""
        return self._send(jobs.get_job(job_id))

    def list_jobs(self, wanted: JobFilter | None = None, *, limit: int = 50, cursor: str | None = None) -> JobPage:
        """Return a page of jobs, newest first."""
        return self._send(jobs.list_jobs(wanted or JobFilter(), limit=limit, cursor=cursor))

    def iter_jobs(self, wanted: JobFilter | None = None) -> Iterator[JobView]:
        """Go through all jobs, newest first."""
        cursor: str | None = None
        while True:
            page = self.list_jobs(wanted, limit=200, cursor=cursor)
            yield from page.items
            if not (cursor := page.next_cursor):
                return

    def iter_tasks(self, job_id: str, states: Sequence[TaskState] = ()) -> Iterator[Task]:
        """Go through the tasks of an array, by their number."""
        cursor: str | None = None
        while True:
            page = self.list_tasks(job_id, states, limit=1000, cursor=cursor)
            yield from page.items
            if not (cursor := page.next_cursor):
                return

    def wait(self, job: str | Submission, *, timeout: float | None = None) -> JobView:
        """Wait for the end of a job; outlives restarts of the server. Raises `TimeoutError` after *timeout*."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LONG_POLL if deadline is None else min(_LONG_POLL, deadline - time.monotonic())
            try:
                found = self._send_long(jobs.get_job(job_id_of(job), wait=max(0.1, left), until="terminal"))
                if found.state.is_terminal:
                    return found
            except NotFoundError:
                if not is_pending(job):
                    raise
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{job_id_of(job)} has not ended within {timeout:g} s")
            self._sleep(0.2)

    def wait_until_known(self, job: Submission) -> JobView:
        """Wait until the scheduler has taken a job that was submitted while it was away."""
        while True:
            try:
                return self._send_long(jobs.get_job(job.id))
            except NotFoundError:
                if not job.is_pending:
                    raise
            self._sleep(1.0)

    def get_history(self, job_id: str) -> History:
        """Return all moves of a job."""
        return self._send(jobs.get_history(job_id))

    def explain(self, job_id: str) -> Explanation:
        """Return why a job is where it is, what that rests on, and what comes next."""
        return self._send(jobs.explain_job(job_id))

    def hold(self, job_id: str) -> JobView | None:
        """Keep a job that waits from starting; none: the scheduler is away, the command is kept."""
        return self._send(jobs.hold_job(job_id))

    def release(self, job_id: str) -> JobView | None:
        """Let a held job go, as far as nothing else holds it up; none: the scheduler is away, the command is kept."""
        return self._send(jobs.release_job(job_id))

    def start(self, job_id: str) -> JobView | None:
        """Let a held job go; none: the scheduler is away, the command is kept."""
        return self._send(jobs.start_job(job_id))

    def cancel(self, job_id: str, *, tasks: str | None = None) -> JobView | None:
        """End a job, or only the *tasks* of an array, such as `3,7-10`; its state says when it has ended.

        None: the scheduler is away, the command is kept.
        """
        return self._send(jobs.cancel_job(job_id, tasks=tasks))

    def remove(self, job_id: str) -> bool:
        """Have a job gone, with its outputs and logs; one that has not ended is cancelled first.

        False: the scheduler is away, the command is kept.
        """
        return self._send(jobs.remove_job(job_id))

    def retry(self, job_id: str, *, tasks: Literal["all", "failed"] = "all", key: str | None = None) -> Submission:
        """Run an ended job again, as a new one; of an array all tasks, or those that failed."""
        return self._send(jobs.retry_job(job_id, tasks=tasks, key=key))

    def list_tasks(
        self, job_id: str, states: Sequence[TaskState] = (), *, limit: int = 100, cursor: str | None = None
    ) -> TaskPage:
        """Return a page of the tasks of an array, by their number."""
        return self._send(tasks.list_tasks(job_id, states, limit=limit, cursor=cursor))

    def get_task(self, job_id: str, index: int) -> Task:
        """Return one task of an array."""
        return self._send(tasks.get_task(job_id, index))

    def get_task_log(self, job_id: str, index: int, *, stream: str = "stdout", attempt: int | None = None) -> bytes:
        """Return what a task of an array printed, once it has ended."""
        return self._send(tasks.get_task_log(job_id, index, stream=stream, attempt=attempt))

    def list_task_logs(
        self, job_id: str, states: Sequence[TaskState] = (), *, limit: int = 100, cursor: str | None = None
    ) -> TaskLogPage:
        """Return a page of what the tasks of an array printed: where it is and how long."""
        return self._send(tasks.list_task_logs(job_id, states, limit=limit, cursor=cursor))

    def get_log(self, job_id: str, *, stream: str = "stdout", attempt: int | None = None) -> bytes:
        """Return what a job has printed so far."""
        return self._send(jobs.get_log(job_id, stream=stream, attempt=attempt))

    def follow_log(self, job_id: str, *, stream: str | None = None, attempt: int | None = None) -> Iterator[LogChunk]:
        """Go through what a job prints, from the beginning until it ends; outlives restarts of the server."""
        return self._follow(LogFeed(job_id, stream=stream, attempt=attempt))

    def list_outputs(self, job_id: str) -> list[OutputFile]:
        """Return what a job left behind."""
        return self._send(jobs.list_outputs(job_id)).items

    def download_output(
        self,
        job_id: str,
        path: str,
        target: Path | str,
        *,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> DownloadUrl:
        """Fetch a file that a job left behind; it is verified before it takes its place."""
        return self._downloads.download(
            lambda: self._send_long(jobs.output_url(job_id, path)), Path(target), progress=progress, stop=stop
        )

    # --- files ------------------------------------------------------------------------------------------------

    def list_files(
        self, prefix: str = "", *, recursive: bool = True, limit: int = 100, cursor: str | None = None
    ) -> FileList:
        """Return a page of files below a prefix."""
        return self._send(files.list_files(prefix, recursive=recursive, limit=limit, cursor=cursor))

    def iter_files(self, prefix: str = "") -> Iterator[FileRecord]:
        """Go through all files below a prefix."""
        cursor: str | None = None
        while True:
            page = self.list_files(prefix, limit=500, cursor=cursor)
            yield from page.items
            if not (cursor := page.next_cursor):
                return

    def upload(
        self,
        local: Path | str,
        remote: str | None = None,
        *,
        content_type: str | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> FileRecord:
        """Bring a file, in parallel parts; a broken upload of the same bytes is taken up where it ended."""
        source = Path(local)
        return self._uploads.upload(
            source, remote or source.name, content_type=content_type, progress=progress, stop=stop
        )

    def download(
        self,
        remote: str,
        target: Path | str,
        *,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> DownloadUrl:
        """Fetch a file; it is verified before it takes its place, and a broken download is taken up again."""
        return self._downloads.download(
            lambda: self._send_long(files.download_url(remote)), Path(target), progress=progress, stop=stop
        )

    def delete_file(self, path: str, *, recursive: bool = False, forever: bool = False) -> bool:
        """Remove a file, or a folder with all that is in it; false: storage is away, it will be done later."""
        return self._send(files.delete_file(path, recursive=recursive, forever=forever))

    # --- figures and facts ------------------------------------------------------------------------------------

    def sum_usage(
        self, group_by: Sequence[GroupBy] = DEFAULT_GROUPS, wanted: UsageFilter | None = None
    ) -> UsageSummary:
        """Return what was used, summed up by groups."""
        return self._send(records.sum_usage(group_by, wanted or UsageFilter()))

    def replay_log(self) -> ReplayReport:
        """Rebuild the figures from the event log alone and compare them with those that are kept."""
        return self._send(records.replay_log())

    def list_events(self, wanted: EventFilter | None = None, *, since_sequence: int = 0, limit: int = 500) -> EventPage:
        """Return a page of events, oldest first."""
        return self._send(records.list_events(wanted or EventFilter(), since_sequence=since_sequence, limit=limit))

    def iter_events(self, wanted: EventFilter | None = None, *, after: int = 0) -> Iterator[EventItem]:
        """Go through all events up to now, each once, beginning behind the one with the number *after*."""
        since = after
        while True:
            page = self.list_events(wanted, since_sequence=since)
            for item in page.items:
                if item.sequence > after:
                    after = item.sequence
                    yield item
            if page.next_sequence is None or page.next_sequence <= since:
                return
            since = page.next_sequence

    def follow_events(self, wanted: EventFilter | None = None, *, since_sequence: int = 0) -> Iterator[EventItem]:
        """Go through events as they happen; it has no end."""
        return self._follow(EventFeed(wanted or EventFilter(), since_sequence=since_sequence))

    def list_backends(self) -> list[BackendView]:
        """Return the clusters and what is free on them."""
        return self._send(records.list_backends()).items

    def list_applications(self) -> Catalog:
        """Return what can be started by its name."""
        return self._send(records.list_applications())

    def who_am_i(self) -> WhoAmI:
        """Return whom the server takes us for."""
        return self._send(records.who_am_i())

    def get_readiness(self) -> dict[str, Any]:
        """Return what every part of the server says about itself."""
        return self._send(records.get_readiness())

    # --- sending ----------------------------------------------------------------------------------------------

    def _send(self, call: Call[T], *, patience: float | None = None) -> T:
        rules = policy(repeatable=call.repeatable, patience=self._patience if patience is None else patience)
        answer: T = Retrying(**rules, sleep=self._sleep)(self._send_once, call)
        return answer

    def _send_long(self, call: Call[T]) -> T:
        return self._send(call, patience=max(self._patience, LONG_PATIENCE))

    def _send_once(self, call: Call[T]) -> T:
        with connecting(self.connection.url):
            response = self._http.send(call.to_request(self._http))
        return call.read(response)

    def _follow(self, feed: Feed[T]) -> Iterator[T]:
        patience = Patience(max(self._patience, LONG_PATIENCE))
        while not feed.is_over:
            lost: UnavailableError | None = None
            try:
                for item in self._listen(feed):
                    patience.renew()
                    yield item
            except UnavailableError as error:
                lost = error
            if not feed.is_over:
                self._sleep(patience.next_pause(lost))

    def _listen(self, feed: Feed[T]) -> Iterator[T]:
        with connecting(self.connection.url):
            response = self._http.send(feed.call().to_request(self._http), stream=True)
            try:
                if not response.is_success:
                    raise error_from(response.status_code, response.headers, response.read())
                for event in EventSource(response).iter_sse():
                    if (item := feed.take(event)) is not None:
                        yield item
                    if feed.is_over:
                        return
            finally:
                response.close()


def job_id_of(job: str | Submission) -> str:
    """Return the identifier of what was submitted."""
    return job if isinstance(job, str) else job.id


def is_pending(job: str | Submission) -> bool:
    """Say whether the scheduler may not know the job yet."""
    return isinstance(job, Submission) and job.is_pending
