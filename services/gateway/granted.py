"""What others share with a caller, as far as a reader of the event log must know."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import structlog
from pydantic import ValidationError

from contracts.envelope import Envelope, type_of
from contracts.errors import UnavailableError
from contracts.events import FolderShared, FolderUnshared, WorkloadShared, WorkloadUnshared
from contracts.grants import (
    FoldersSharedWith,
    Grant,
    GrantPage,
    WorkloadsSharedWith,
    folder_resource,
    job_resource,
)
from contracts.model import now
from contracts.principals import Principal
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.policy import grantees_of

__all__ = ["Granted"]

_PAGE = 1000
_MOST = 10_000
"""Grants of one kind that are remembered, the newest; a reader's memory has an end."""

_AGAIN_AFTER = 2.0
"""Seconds after which a service that was away is asked again."""

_SHARED = frozenset({type_of(WorkloadShared), type_of(FolderShared)})
_UNSHARED = frozenset({type_of(WorkloadUnshared), type_of(FolderUnshared)})
_PREFIX = "org.shunter."
_OF_JOB = re.compile(r"jobs/([a-z]{3}-[0-9a-f]{32})/")

_Ask = type[WorkloadsSharedWith] | type[FoldersSharedWith]
_ASKS: dict[str, tuple[_Ask, ...]] = {
    "workload": (WorkloadsSharedWith,),
    "folder": (FoldersSharedWith,),
    "file": (FoldersSharedWith, WorkloadsSharedWith),
}
"""What must be known to judge an event, by its noun. Of other things nothing can be shared."""

log = structlog.get_logger(__name__)


class Granted:
    """Knows what is shared, asked for once and then heard from the log itself.

    It is asked when the first event comes that is not the caller's own, so that most readers cost nobody anything.
    """

    def __init__(self, bus: Bus, principal: Principal) -> None:
        self._bus = bus
        self._principal = principal
        self._words = frozenset(grantees_of(principal))
        self._grants: dict[tuple[str, str], dict[str, Grant]] = {}
        self._as_of: dict[_Ask, int] = {}
        """The place in the log up to which the answers hold all that was said."""
        self._not_before = 0.0

    async def lets_see(self, envelope: Envelope, *, patient: bool = False) -> bool:
        """Say whether an event is about something that is shared, and was said since.

        With *patient* a service that is away is asked again later; until then nothing that it keeps is shown.
        """
        noun = _noun(envelope)
        if noun not in _ASKS or envelope.owner is None:
            return False
        for ask in _ASKS[noun]:
            if ask not in self._as_of and not await self._learn(ask, patient=patient):
                return False
        if envelope.type in _SHARED | _UNSHARED and _grantee(envelope) not in self._words:
            return False  # with whom else something is shared concerns its owner
        return any(self._is_shared(envelope, resource) for resource in _resources(noun, envelope))

    def hear(self, envelope: Envelope, sequence: int) -> None:
        """Take into account what an event says of grants, if it is newer than what is known."""
        if envelope.type not in _SHARED | _UNSHARED or _grantee(envelope) not in self._words:
            return
        ask = _ASKS[_noun(envelope)][0]
        if sequence <= self._as_of.get(ask, sequence):
            return
        try:
            grant = Grant.model_validate(envelope.data["grant"], extra="ignore")
        except (ValidationError, KeyError):
            return
        if envelope.type in _SHARED:
            self._keep(grant)
        else:
            self._grants.get((grant.owner, grant.resource), {}).pop(grant.grantee, None)

    def _is_shared(self, envelope: Envelope, resource: str) -> bool:
        moment = now()
        grants = self._grants.get((envelope.owner or "", resource), {})
        return any(grant.is_good_at(moment) and grant.created_at <= envelope.time for grant in grants.values())

    async def _learn(self, ask: _Ask, *, patient: bool) -> bool:
        if patient and time.monotonic() < self._not_before:
            return False
        try:
            with translated("NATS"):
                as_of = int((await self._bus.jetstream.stream_info("EVENTS")).state.last_seq)
            await self._ask_all(ask)
        except UnavailableError as error:
            if not patient:
                raise
            log.warning("grants.unknown", query=ask.name, detail=error.detail)
            self._not_before = time.monotonic() + _AGAIN_AFTER
            return False
        self._as_of[ask] = as_of
        return True

    async def _ask_all(self, ask: _Ask) -> None:
        cursor: str | None = None
        for _ in range(_MOST // _PAGE):
            page: GrantPage = await self._bus.ask(ask(principal=self._principal, limit=_PAGE, cursor=cursor))
            for grant in page.items:
                self._keep(grant)
            if (cursor := page.next_cursor) is None:
                return
        log.warning("grants.too_many", subject=self._principal.subject, known=_MOST)

    def _keep(self, grant: Grant) -> None:
        place = (grant.owner, grant.resource)
        if place in self._grants or len(self._grants) < 2 * _MOST:
            self._grants.setdefault(place, {})[grant.grantee] = grant


def _noun(envelope: Envelope) -> str:
    return envelope.type.removeprefix(_PREFIX).partition(".")[0]


def _grantee(envelope: Envelope) -> object:
    grant: Any = envelope.data.get("grant")
    return grant.get("grantee") if isinstance(grant, dict) else None


def _resources(noun: str, envelope: Envelope) -> Iterator[str]:
    """Give the words for what an event is about: a job, or the folders that a file lies in."""
    if noun == "workload":
        yield job_resource(envelope.subject)
        return
    if "to" in envelope.data:
        return  # of a move only its owner hears: the other name may lie where nothing is shared
    path = str(envelope.data.get("path", ""))
    if noun == "folder":
        yield folder_resource(path)
        return
    if found := _OF_JOB.match(path):
        yield job_resource(found[1])
    place = path.find("/")
    while place >= 0:
        yield folder_resource(path[:place])
        place = path.find("/", place + 1)
