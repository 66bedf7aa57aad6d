"""Following the output of a job as it grows: no byte lost, none twice, across attempts and reconnects."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import orjson
import structlog

from contracts.errors import InvalidError, NotFoundError, UnavailableError
from contracts.runs import Stream
from contracts.subjects import event_subject, log_subject
from contracts.workloads import Workload
from services.chassis.bus import Bus

from .closing import Closing
from .jobs import JobService
from .logs import Archive, offset_of, read_offset
from .reader import Entry, StreamReader
from .sse import sse_event
from .watch import Watch, watching

__all__ = ["LogFollower", "Position"]

_LOOK_AGAIN = 15.0
"""Seconds without news after which the job is asked for all the same."""

_POSITION = re.compile(r"([0-9]{1,9})\.([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})")

_ATTEMPT = re.compile(r"[1-9][0-9]{0,8}")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a listener has come: what `Last-Event-ID` says."""

    attempt: int = 0
    sequence: int = 0
    stdout: int = 0
    stderr: int = 0

    @classmethod
    def read(cls, text: str | None) -> Position:
        """Read an event's id back."""
        if not text:
            return cls()
        if not (found := _POSITION.fullmatch(text)):
            raise InvalidError.of("Last-Event-ID", "is not the id of an event of this log")
        return cls(*(int(part) for part in found.groups()))

    def __str__(self) -> str:
        return f"{self.attempt}.{self.sequence}.{self.stdout}.{self.stderr}"


class LogFollower:
    """Gives the chunks of a job's output as server-sent events, and `end` when there will be no more."""

    def __init__(
        self,
        *,
        bus: Bus,
        jobs: JobService,
        archive: Archive,
        closing: Closing,
        workload: Workload,
        stream: Stream | None,
        position: Position,
    ) -> None:
        self._bus = bus
        self._jobs = jobs
        self._archive = archive
        self._closing = closing
        self._workload = workload
        self._streams: tuple[Stream, ...] = (stream,) if stream else ("stdout", "stderr")
        self._resumed = position.attempt
        self._attempt = position.attempt
        self._sequence = position.sequence
        self._look_at = 0.0
        self._sent = {(position.attempt, "stdout"): position.stdout, (position.attempt, "stderr"): position.stderr}

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Give the events until the job has ended and everything was said, or the gateway stops."""
        job_id = self._workload.id
        only = self._streams[0] if len(self._streams) == 1 else "*"
        reader = StreamReader(self._bus, "LOGS", [log_subject(job_id, "*", only)], start=self._sequence + 1)
        moves = event_subject("workload", about=job_id)
        async with watching(self._bus.connection, moves, self._closing) as watch, reader:
            watch.on_news = reader.wake
            # Asked again now that the watch listens: the end may have come in between.
            while await self._look(watch) and not self._closing.is_set:
                async for event in self._until_news(reader, watch):
                    yield event
                if self._workload.state.is_terminal and not watch.take():
                    async for event in self._from_archive(self._workload.attempt + 1):
                        yield event
                    yield self._end()
                    return

    async def _until_news(self, reader: StreamReader, watch: Watch) -> AsyncIterator[bytes]:
        """Give what is there and what comes, until the job should be looked at again."""
        while not self._closing.is_set:
            ended = self._workload.state.is_terminal
            try:
                entries = await reader.read(wait=0 if ended else _LOOK_AGAIN)
            except UnavailableError as error:
                log.warning("follow.interrupted", job=self._workload.id, detail=error.detail)
                await watch.next(1.0)
                continue
            for entry in entries:
                async for event in self._from_entry(entry):
                    yield event
            # However much is printed: who may see it is asked again, when something was said of the job and in time.
            if not entries or watch.has_news or time.monotonic() > self._look_at:
                return

    async def _look(self, watch: Watch) -> bool:
        """Get the job as it stands; say whether it can still be followed, and by whom it is."""
        watch.take()  # whatever was said before is in the answer
        self._look_at = time.monotonic() + _LOOK_AGAIN
        try:
            self._workload = await self._jobs.get(self._workload.id)
        except NotFoundError:
            return False
        except UnavailableError:
            log.info("follow.unsure", job=self._workload.id)
        return True

    async def _from_entry(self, entry: Entry) -> AsyncIterator[bytes]:
        _, _, number, stream = entry.subject.split(".")
        if not _ATTEMPT.fullmatch(number) or read_offset(entry.headers) is None:
            self._sequence = entry.sequence  # nothing that a runner said
            return
        attempt, offset = int(number), offset_of(entry)
        if attempt > self._attempt:
            async for event in self._from_archive(attempt):
                yield event
            self._attempt = attempt
        known = self._sent.get((attempt, stream), offset if attempt < self._resumed else 0)
        if offset > known:
            async for event in self._from_archived(attempt, stream, known, offset):
                yield event
            known = offset
        self._sequence = entry.sequence
        if data := entry.data[known - offset :]:
            yield self._chunk(attempt, stream, known, data)

    async def _from_archive(self, before: int) -> AsyncIterator[bytes]:
        """Give what the archive has of the attempts below *before* and the stream had no more."""
        for attempt in range(max(self._attempt, 1), before):
            for stream in self._streams:
                async for event in self._from_archived(attempt, stream, self._sent.get((attempt, stream), 0), None):
                    yield event

    async def _from_archived(self, attempt: int, stream: str, start: int, end: int | None) -> AsyncIterator[bytes]:
        path = f"logs/{attempt}/{stream}"
        file = next((item for item in self._workload.logs if item.path == path), None)
        if file is None:
            return
        self._attempt = max(self._attempt, attempt)
        place = start
        async for piece in self._archive.pieces(self._workload, path, start, min(end or file.size, file.size)):
            yield self._chunk(attempt, stream, place, piece)
            place += len(piece)

    def _chunk(self, attempt: int, stream: str, offset: int, data: bytes) -> bytes:
        self._sent[attempt, stream] = offset + len(data)
        said: dict[str, object] = {"attempt": attempt, "stream": stream, "offset": offset}
        try:
            said["text"] = data.decode()
        except UnicodeDecodeError:
            said["base64"] = base64.b64encode(data).decode()
        return sse_event("log", orjson.dumps(said), place=str(self._position()))

    def _end(self) -> bytes:
        said = {"state": self._workload.state.value, "exit_code": self._workload.exit_code}
        return sse_event("end", orjson.dumps(said), place=str(self._position()))

    def _position(self) -> Position:
        now = self._attempt
        return Position(now, self._sequence, self._sent.get((now, "stdout"), 0), self._sent.get((now, "stderr"), 0))
