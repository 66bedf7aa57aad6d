"""Streams that are followed: what has come so far, and how to go on after a break without loss or repetition."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from httpx_sse import ServerSentEvent
from pydantic import BaseModel, ConfigDict

from contracts.envelope import Envelope
from contracts.states import WorkloadState

from .calls.call import Call, Params, params_of, path_of
from .calls.records import EventFilter
from .models import EventItem, LogChunk, LogEnd

__all__ = ["EventFeed", "Feed", "LogFeed"]

T = TypeVar("T")

_SILENCE = 60.0
"""Seconds without a byte (the server sends signs of life more often) after which we connect anew."""


class _LogData(BaseModel):
    model_config = ConfigDict(extra="ignore")

    attempt: int
    stream: str
    offset: int
    text: str | None = None
    base64: str | None = None

    def to_bytes(self) -> bytes:
        return base64.b64decode(self.base64) if self.base64 is not None else (self.text or "").encode()


class _EndData(BaseModel):
    model_config = ConfigDict(extra="ignore")

    state: WorkloadState | None = None
    exit_code: int | None = None


class Feed(ABC, Generic[T]):
    """One stream of server-sent events, across as many connections as it takes."""

    def __init__(self, path: str, params: Params, *, last_id: str | None = None) -> None:
        self._path = path
        self._params = params
        self.last_id = last_id
        """The last event that was taken; the next connection goes on after it."""
        self.is_over = False

    def call(self) -> Call[None]:
        """Build the request that goes on where we are."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_id is not None:
            headers["Last-Event-ID"] = self.last_id
        params = (*self._params, *params_of(follow=True))
        return Call("GET", self._path, lambda _response: None, params, headers, hold=_SILENCE - 30.0)

    def take(self, event: ServerSentEvent) -> T | None:
        """Return what the event brings, if it is something new."""
        found = self.read(event)
        if event.id:
            self.last_id = event.id
        return found

    @abstractmethod
    def read(self, event: ServerSentEvent) -> T | None:
        """Return what one event brings; sets `is_over` at the last one."""


class LogFeed(Feed[LogChunk]):
    """What a job prints."""

    def __init__(
        self, job_id: str, *, stream: str | None = None, attempt: int | None = None, last_id: str | None = None
    ) -> None:
        super().__init__(path_of("v1/jobs", job_id, "logs"), params_of(stream=stream, attempt=attempt), last_id=last_id)
        self._seen: dict[tuple[int, str], int] = {}
        self.end: LogEnd | None = None

    def read(self, event: ServerSentEvent) -> LogChunk | None:
        """Return the new part of a chunk."""
        if event.event == "end":
            data = _EndData.model_validate_json(event.data or "{}")
            self.end, self.is_over = LogEnd(data.state, data.exit_code), True
        return self._new_part(_LogData.model_validate_json(event.data)) if event.event == "log" else None

    def _new_part(self, found: _LogData) -> LogChunk | None:
        """Cut off what was seen before: after a break the server may begin a little earlier."""
        place, data = (found.attempt, found.stream), found.to_bytes()
        known = max(0, self._seen.get(place, 0) - found.offset)
        if known >= len(data):
            return None
        self._seen[place] = found.offset + len(data)
        return LogChunk(found.attempt, found.stream, found.offset + known, data[known:])


class EventFeed(Feed[EventItem]):
    """What happens."""

    def __init__(self, wanted: EventFilter, *, since_sequence: int = 0) -> None:
        since = params_of(since_sequence=since_sequence or None)
        super().__init__(path_of("v1/events"), (*wanted.to_params(), *since))
        self._seen = 0

    def read(self, event: ServerSentEvent) -> EventItem | None:
        """Return an event that is newer than all before."""
        if not event.data or not event.id.isdecimal() or int(event.id) <= self._seen:
            return None
        self._seen = int(event.id)
        return EventItem(sequence=self._seen, event=Envelope.from_bytes(event.data.encode()))
