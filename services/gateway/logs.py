"""The output of a job: the archived object when there is one, else what the LOGS stream keeps."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping

from nats.js.errors import NotFoundError as NoMessageError

from contracts.errors import NotFoundError
from contracts.files import DownloadUrl
from contracts.principals import Principal
from contracts.queries import DownloadFile
from contracts.runs import LogChunk, Stream
from contracts.subjects import log_subject
from contracts.tasks import Task, pack_path
from contracts.workloads import OutputFile, Workload
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.policy import longest_url
from services.chassis.reader import Entry, StreamReader

from .transfer import Transfer

__all__ = ["Archive", "LogService", "LogSource", "archived_log", "offset_of", "read_offset"]

_GOOD_FOR = 3600.0
"""Seconds that the URL of a job's file is good for, for its owner."""

_OFFSET = re.compile(r"[0-9]{1,15}")


class LogSource(ABC):
    """One stream of one attempt, as it is now."""

    size: int
    begins: int = 0
    """The first byte that is still there."""

    @abstractmethod
    def pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Give the bytes from *start* up to *end*, a piece at a time."""


def offset_of(entry: Entry) -> int:
    """Return where in its stream the first byte of a chunk stands."""
    return read_offset(entry.headers) or 0


def read_offset(headers: Mapping[str, str] | None) -> int | None:
    """Return the offset in the headers of a chunk; None where there is none that could be true."""
    text = (headers or {}).get(LogChunk.OFFSET, "")
    return int(text) if _OFFSET.fullmatch(text) else None


def archived_log(workload: Workload, attempt: int, stream: str) -> OutputFile | None:
    """Return the archived log, if it was brought home."""
    path = f"logs/{attempt}/{stream}"
    return next((item for item in workload.logs if item.path == path), None)


class Archive:
    """Files that a job left behind, for whoever may see the job."""

    def __init__(self, *, bus: Bus, transfer: Transfer, reader: Principal) -> None:
        self._bus = bus
        self._transfer = transfer
        self._reader = reader

    async def url(self, workload: Workload, path: str) -> DownloadUrl:
        """Return where a file of the job can be fetched; *path* is as the record lists it.

        That the caller may see the job was decided when the record was asked for; its files are asked for in the
        name of their owner, since they may be seen by a project's admins too, and by whom the job is shared with.
        """
        owner = Principal(subject=workload.owner, issuer="gateway")
        expires = longest_url(self._reader, workload.owner, _GOOD_FOR)
        elsewhere = next((item for item in workload.outputs if item.path == path and item.at), None)
        place = elsewhere.at if elsewhere and elsewhere.at else f"jobs/{workload.id}/{path}"
        url: DownloadUrl = await self._bus.ask(DownloadFile(principal=owner, path=place, expires=expires))
        if elsewhere and url.sha256 != elsewhere.sha256:
            # Whoever may see the job may see what it left there, and nothing that was put there since.
            raise NotFoundError(f"{elsewhere.at} is not what {workload.id} left there any more")
        return url

    async def pieces(self, workload: Workload, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Give some bytes of a file of the job."""
        if start >= end:
            return
        url = await self.url(workload, path)
        download = await self._transfer.open(url.url, f"bytes={start}-{end - 1}")
        async for piece in download.pieces():
            yield piece


class _ArchivedLog(LogSource):
    def __init__(self, archive: Archive, workload: Workload, file: OutputFile) -> None:
        self.size = file.size
        self._archive = archive
        self._workload = workload
        self._path = file.path

    def pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        return self._archive.pieces(self._workload, self._path, start, end)


class _LiveLog(LogSource):
    def __init__(self, bus: Bus, subject: str, *, begins: int, size: int) -> None:
        self.begins = begins
        self.size = size
        self._bus = bus
        self._subject = subject

    async def pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        place = start
        first = await self._find(start)
        async with StreamReader(self._bus, "LOGS", [self._subject], start=first) as reader:
            while place < end:
                entries = await reader.read(wait=0)
                if not entries:
                    return
                for entry in entries:
                    offset = read_offset(entry.headers)
                    if offset is None:  # nothing that a runner said
                        continue
                    piece = entry.data[max(0, place - offset) : max(0, end - offset)]
                    if piece:
                        place = max(place, offset) + len(piece)
                        yield piece

    async def _find(self, start: int) -> int:
        """Return a sequence from which the byte *start* is not far: chunks of a stream stand in their order."""
        if start == 0:
            return 1
        with translated("NATS"):
            state = (await self._bus.jetstream.stream_info("LOGS")).state
        low, high = state.first_seq, state.last_seq
        while high - low > 64:
            middle = (low + high) // 2
            offset = await _offset_at(self._bus, self._subject, middle)
            if offset is not None and offset <= start:
                low = middle
            else:
                high = middle
        return low


class _NoLog(LogSource):
    size = 0

    async def pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Give nothing."""
        for _ in range(start, end):
            yield b""


class _Share(LogSource):
    """A part of another source."""

    def __init__(self, whole: LogSource, offset: int, size: int) -> None:
        self.size = size
        self._whole = whole
        self._offset = offset

    def pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        return self._whole.pieces(self._offset + start, self._offset + end)


async def _offset_at(bus: Bus, subject: str, sequence: int) -> int | None:
    """Return the offset of the first chunk from a place in the stream on."""
    try:
        with translated("NATS"):
            found = await bus.jetstream.get_msg("LOGS", sequence, subject=subject, direct=True, next=True)
    except NoMessageError:
        return None
    return read_offset(found.headers)


class LogService:
    """Opens the logs of jobs."""

    def __init__(self, *, bus: Bus, archive: Archive) -> None:
        self._bus = bus
        self._archive = archive

    async def open(self, workload: Workload, stream: Stream, attempt: int | None) -> LogSource:
        """Return one stream of one attempt; by default of the last."""
        number = workload.attempt if attempt is None else attempt
        if number > workload.attempt:
            raise NotFoundError(f"{workload.id} has no attempt {number}")
        if file := archived_log(workload, number, stream):
            return _ArchivedLog(self._archive, workload, file)
        subject = log_subject(workload.id, number, stream)
        size = await self._size(subject)
        begins = await _offset_at(self._bus, subject, 1) if size else 0
        return _LiveLog(self._bus, subject, begins=begins or 0, size=size)

    async def open_task(self, workload: Workload, task: Task, stream: Stream, attempt: int | None) -> LogSource:
        """Return one stream of one attempt of a task; by default of the last that ended."""
        number = attempt or max((log.attempt for log in task.logs), default=task.attempt)
        if number > max(task.attempt, 1):
            raise NotFoundError(f"task {task.index} of {workload.id} has no attempt {number}")
        found = next((log for log in task.logs if (log.attempt, log.stream) == (number, stream)), None)
        if found is None:
            return _NoLog()
        path = pack_path(found.bundle)
        try:
            await self._archive.url(workload, path)
        except NotFoundError:
            # Other tasks of its bundle run still: until they have ended, the stream holds what was printed.
            subject = log_subject(workload.id, found.bundle, "pack")
            whole: LogSource = _LiveLog(self._bus, subject, begins=0, size=found.offset + found.size)
        else:
            file = OutputFile(path=path, size=found.offset + found.size, sha256="")
            whole = _ArchivedLog(self._archive, workload, file)
        return _Share(whole, found.offset, found.size)

    async def _size(self, subject: str) -> int:
        try:
            with translated("NATS"):
                last = await self._bus.jetstream.get_last_msg("LOGS", subject, direct=True)
        except NoMessageError:
            return 0
        offset = read_offset(last.headers)
        return await self._size_of_good(subject) if offset is None else offset + len(last.data or b"")

    async def _size_of_good(self, subject: str) -> int:
        """Return the size by those chunks that a runner said; the last one is none of them."""
        size = 0
        async with StreamReader(self._bus, "LOGS", [subject], start=1) as reader:
            while entries := await reader.read(wait=0):
                for entry in entries:
                    if (offset := read_offset(entry.headers)) is not None:
                        size = max(size, offset + len(entry.data))
        return size
