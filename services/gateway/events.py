"""The event log, as far as a caller may see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

import structlog
from pydantic import ValidationError

from contracts.envelope import Envelope, type_of
from contracts.errors import InvalidError, UnavailableError
from contracts.events import EVENTS, FolderShared, FolderUnshared, WorkloadShared, WorkloadUnshared
from contracts.principals import Principal
from contracts.subjects import event_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.policy import is_visible, scope_of
from services.chassis.reader import Entry, StreamReader
from services.chassis.showing import shown

from .closing import Closing
from .granted import Granted
from .sse import sse_event

__all__ = ["EventFilter", "EventService", "Seen"]

_PREFIX = "org.shunter."
_MOST_LOOKED_AT = 20_000
"""Events that are read for one page, however few of them are shown."""

_NEWS = (WorkloadShared, WorkloadUnshared, FolderShared, FolderUnshared)
_ENDS = frozenset({type_of(WorkloadUnshared), type_of(FolderUnshared)})
_WAIT = 15.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted."""

    types: tuple[str, ...] = ()
    """Beginnings of types, with or without `org.shunter.`."""
    job: str | None = None
    owner: str | None = None
    project: str | None = None

    def to_subjects(self) -> list[str]:
        """Return the tightest subjects that hold all that is wanted."""
        nouns = {kind.name.partition(".")[0] for kind in EVENTS if self._wants_type(type_of(kind))}
        if not nouns:
            raise InvalidError.of("type", "no event has such a type")
        if self.job:
            return [event_subject("workload", about=self.job)]
        if len(nouns) == len({kind.name.partition(".")[0] for kind in EVENTS}):
            return [event_subject()]
        return [event_subject(noun) for noun in sorted(nouns)]

    def wants(self, envelope: Envelope) -> bool:
        """Say whether an event is one of those."""
        return (
            self._wants_type(envelope.type)
            and self.owner in {None, envelope.owner}
            and self.project in {None, envelope.project}
        )

    def _wants_type(self, kind: str) -> bool:
        short = kind.removeprefix(_PREFIX)
        return not self.types or any(short.startswith(wanted.removeprefix(_PREFIX)) for wanted in self.types)


@dataclass(frozen=True, slots=True)
class Seen:
    """An event and its place in the log."""

    sequence: int
    envelope: Envelope


class EventService:
    """Reads the log for one caller; what is not theirs is passed over."""

    def __init__(self, *, bus: Bus, principal: Principal, closing: Closing) -> None:
        self._bus = bus
        self._scope = scope_of(principal)
        self._granted = Granted(bus, principal)
        self._closing = closing

    async def page(self, wanted: EventFilter, *, start: int | datetime, limit: int) -> tuple[list[Seen], int]:
        """Return some events, oldest first, and the sequence at which the next page begins."""
        found: list[Seen] = []
        looked_at = 0
        async with StreamReader(self._bus, "EVENTS", wanted.to_subjects(), start=start) as reader:
            while looked_at < _MOST_LOOKED_AT and (entries := await reader.read(wait=0)):
                looked_at += len(entries)
                for entry in entries:
                    if seen := await self._show(entry, wanted):
                        found.append(seen)
                    if len(found) == limit:
                        return found, entry.sequence + 1
            return found, reader.place or await self._next_sequence()

    async def _next_sequence(self) -> int:
        with translated("NATS"):
            return int((await self._bus.jetstream.stream_info("EVENTS")).state.last_seq) + 1

    async def follow(self, wanted: EventFilter, *, start: int | datetime | None) -> AsyncGenerator[bytes, None]:
        """Give events as they are said, as server-sent events, until the gateway stops."""
        async with StreamReader(self._bus, "EVENTS", _with_news(wanted), start=start) as reader:
            with self._closing.waking(reader.wake):
                while not self._closing.is_set:
                    try:
                        entries = await reader.read(wait=_WAIT)
                    except UnavailableError as error:
                        log.warning("stream.interrupted", detail=error.detail)
                        await reader.pause(1.0)
                        continue
                    for entry in entries:
                        if self._closing.is_set:
                            return
                        if seen := await self._show(entry, wanted, patient=True):
                            body = seen.envelope.to_bytes()
                            yield sse_event(seen.envelope.type, body, place=str(seen.sequence))

    async def _show(self, entry: Entry, wanted: EventFilter, *, patient: bool = False) -> Seen | None:
        try:
            envelope = Envelope.from_bytes(entry.data)
        except ValidationError:
            return None
        if envelope.type in _ENDS:  # whoever was let in until now is told of it
            seen = await self._is_seen(envelope, wanted, patient=patient)
            self._granted.hear(envelope, entry.sequence)
        else:
            self._granted.hear(envelope, entry.sequence)
            seen = await self._is_seen(envelope, wanted, patient=patient)
        return Seen(entry.sequence, shown(envelope)) if seen else None

    async def _is_seen(self, envelope: Envelope, wanted: EventFilter, *, patient: bool) -> bool:
        if not wanted.wants(envelope):
            return False
        if is_visible(self._scope, envelope.owner, envelope.project):
            return True
        return await self._granted.lets_see(envelope, patient=patient)


def _with_news(wanted: EventFilter) -> list[str]:
    """Return the subjects of what is wanted and of changes of grants, which say what may be seen."""
    subjects = wanted.to_subjects()
    if wanted.job or event_subject() in subjects:
        return subjects
    missing = [kind.name.split(".") for kind in _NEWS if event_subject(kind.name.partition(".")[0]) not in subjects]
    return [*subjects, *(event_subject(noun, fact) for noun, fact in missing)]
