"""Brings inputs and takes outputs home, by presigned URLs: in parallel, resumed, checked."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar

import httpx
from pydantic import ValidationError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from contracts.commands import CompleteUpload
from contracts.envelope import Context
from contracts.errors import InvalidError, OverQuotaError, RefusedError, ShunterError, UnavailableError
from contracts.files import FileRecord, Part, PartDone, UploadPlan
from contracts.queries import OpenRunUpload
from contracts.runs import FrozenInput, RunTask
from contracts.spec import clean_path
from contracts.workloads import OutputFile
from services.scheduler.pilot.outputs import Delivery

from .link import Link
from .urls import FRESH_URLS, Urls

__all__ = ["Transfer", "open_client"]

_PIECE = 1024 * 1024
_COMPLETION = 120.0
"""Seconds that storage may take to check a large file."""
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_EXPIRED = 403
"""What stores answer to a URL that is too old; another one is asked for, a few times."""

_HUNG_UP = (httpx.TransportError, AttributeError)
"""What a lost connection looks like; anyio asks a socket for its address that a reset may have taken from it."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _ExpiredError(UnavailableError):
    """The store no longer takes this URL."""


class Transfer:
    """The transfers of one run."""

    def __init__(self, *, link: Link, http: httpx.AsyncClient, task: RunTask, patience: float, parallel: int) -> None:
        self._link = link
        self._http = http
        self._task = task
        self._patience = patience
        self._turn = asyncio.Semaphore(parallel)

    # --- inputs -----------------------------------------------------------------------------------------------

    async def fetch(self, inputs: Sequence[FrozenInput], work: Path, parts: Path) -> None:
        """Bring all inputs to the working folder; raises `RefusedError`, naming the one that cannot be had."""
        source = Urls(self._link, self._task.ticket, inputs)
        async with _Group() as group:
            for number, item in enumerate(inputs):
                group.create_task(self._fetch(item, work, parts / f"input-{number}", source))

    async def _fetch(self, item: FrozenInput, work: Path, draft: Path, urls: Urls) -> None:
        try:
            target = work / clean_path(item.target)
        except ValueError as error:
            raise InvalidError(f"input {item.target}: {error}") from error
        download = _Download(item, draft)
        async with self._turn:
            await self._patiently(self._try_to_fetch, download, urls)
        _put_in_place(draft, target)

    async def _try_to_fetch(self, download: _Download, urls: Urls) -> None:
        url = await urls.of(download.item)
        headers = {"Range": f"bytes={download.size}-"} if download.size else {}
        what = f"input {download.item.target}"
        try:
            with _translated(what):
                await self._download(download, url, headers, what)
        except _ExpiredError:
            urls.forget(download.item)
            raise
        download.check()

    async def _download(self, download: _Download, url: str, headers: dict[str, str], what: str) -> None:
        async with self._http.stream("GET", url, headers=headers) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                raise _changed(download.item, "the file that was submitted was changed or deleted and is kept no more")
            _check(response, what)
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                download.restart()
            async for piece in response.aiter_raw(_PIECE):
                await asyncio.to_thread(download.add, piece)

    # --- outputs and logs -------------------------------------------------------------------------------------

    async def deliver(self, deliveries: Sequence[Delivery]) -> tuple[list[OutputFile], list[str]]:
        """Take files home, each for itself; return those that arrived, and why others did not."""
        async with _Group() as group:
            tasks = [group.create_task(self._deliver_or_say_why(delivery)) for delivery in deliveries]
        ends = [task.result() for task in tasks]
        return [end for end in ends if isinstance(end, OutputFile)], [end for end in ends if isinstance(end, str)]

    async def _deliver_or_say_why(self, delivery: Delivery) -> OutputFile | str:
        try:
            return await self._deliver(delivery)
        except OverQuotaError as error:
            return f"quota: {delivery.path}: {error.detail}"
        except ShunterError as error:
            return error.detail

    async def _deliver(self, delivery: Delivery) -> OutputFile:
        try:
            async with self._turn:
                size, sha256 = await asyncio.to_thread(_measure, delivery.source)
            question = OpenRunUpload(
                ticket=self._task.ticket, path=delivery.path, to=delivery.to, size=size, sha256=sha256
            )
            await self._patiently(self._upload, delivery, question, itertools.count(1))
        except OSError as error:
            raise InvalidError(f"{delivery.path}: cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise InvalidError(f"{delivery.path!r}: such a name cannot be kept") from error
        return OutputFile(path=delivery.path, size=size, sha256=sha256, at=delivery.at)

    async def _upload(self, delivery: Delivery, question: OpenRunUpload, refusals: Iterator[int]) -> None:
        plan: UploadPlan = await self._link.ask(question)
        try:
            async with _Group() as group:
                tasks = [group.create_task(self._put(delivery, part)) for part in plan.parts]
        except _ExpiredError as error:
            if next(refusals) >= FRESH_URLS:
                raise RefusedError(error.detail) from error
            raise
        done = sorted([*plan.done, *(task.result() for task in tasks)], key=lambda part: part.number)
        command = CompleteUpload(ticket=plan.ticket, parts=done)
        context = Context.start("service:runner", traceparent=self._task.traceparent)
        await self._link.order(command, context, wait=_COMPLETION, answer=FileRecord)

    async def _put(self, delivery: Delivery, part: Part) -> PartDone:
        async with self._turn:
            response = await self._patiently(self._try_to_put, delivery, part)
        if response.status_code == _EXPIRED:
            # Another try with this URL is no use: the whole upload is opened anew, one level up.
            raise _ExpiredError(f"{delivery.path}: the store answers {_EXPIRED}")
        return PartDone(number=part.number, etag=response.headers.get("ETag", "").strip('"'))

    async def _try_to_put(self, delivery: Delivery, part: Part) -> httpx.Response:
        pieces = _pieces(delivery.source, part.offset, part.size)
        with _translated(delivery.path):
            response = await self._http.put(part.url, content=pieces, headers={"Content-Length": str(part.size)})
        if response.status_code != _EXPIRED:
            _check(response, delivery.path)
        return response

    async def _patiently(self, call: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Try again while nobody is wrong; what lasts longer than our patience is raised."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_delay(self._patience),
            reraise=True,
        )
        return await retrying(call, *args, **kwargs)


def open_client() -> httpx.AsyncClient:
    """Return the client for all transfers; the store is reached directly, whatever the environment says of proxies."""
    return httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)


class _Download:
    """A file on its way in."""

    def __init__(self, item: FrozenInput, draft: Path) -> None:
        self.item = item
        self.size = 0
        self._draft = draft
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self.size = 0
        self._digest = hashlib.sha256()
        self._draft.write_bytes(b"")

    def add(self, piece: bytes) -> None:
        """Take a piece."""
        with self._draft.open("ab") as file:
            file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    def check(self) -> None:
        """Raise unless it is what was frozen."""
        if self.size < self.item.size:
            raise UnavailableError(f"input {self.item.target}: the store hung up after {self.size} bytes")
        if self.size != self.item.size or self._digest.hexdigest() != self.item.sha256:
            raise _changed(self.item, "its checksum is not that of the file that was submitted")


def _changed(item: FrozenInput, how: str) -> InvalidError:
    return InvalidError(f"changed: input {item.target} ({item.source}): {how}")


class _Group(asyncio.TaskGroup):
    """A task group that raises the first error itself, not a group of errors."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except _HUNG_UP as error:
        raise UnavailableError(f"{what}: the store does not answer: {type(error).__name__}") from error


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, UnavailableError)


def _check(response: httpx.Response, what: str) -> None:
    status = response.status_code
    if status < 300:
        return
    if status == _EXPIRED:
        raise _ExpiredError(f"{what}: the store answers {status}")
    if status >= 500 or status in {408, 425, 429}:
        raise UnavailableError(f"{what}: the store answers {status}")
    raise RefusedError(f"{what}: the store answers {status}")


async def _pieces(source: Path, offset: int, size: int) -> AsyncIterator[bytes]:
    with source.open("rb") as file:
        file.seek(offset)
        while size > 0 and (piece := await asyncio.to_thread(file.read, min(size, _PIECE))):
            size -= len(piece)
            yield piece


def _put_in_place(draft: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(target)


def _measure(source: Path) -> tuple[int, str]:
    with source.open("rb") as file:
        return source.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
