"""Calls about what was used, what happened, who is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from contracts.catalog import Catalog
from contracts.usage import GroupBy, ReplayReport, UsageSummary
from shunter.models import BackendList, EventPage, WhoAmI

from .call import Call, Params, params_of, path_of, reads

__all__ = [
    "EventFilter",
    "UsageFilter",
    "get_readiness",
    "list_applications",
    "list_backends",
    "list_events",
    "replay_log",
    "sum_usage",
    "who_am_i",
]


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which usage is meant."""

    owner: str | None = None
    project: str | None = None
    backend: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are meant."""

    type: str | None = None
    job: str | None = None
    since: datetime | None = None

    def to_params(self) -> Params:
        """Say it as query parameters."""
        return params_of(type=self.type, job=self.job, since=_moment(self.since))


def sum_usage(group_by: Sequence[GroupBy], wanted: UsageFilter) -> Call[UsageSummary]:
    """Sum up usage by groups."""
    params = params_of(
        group_by=[group.value for group in group_by],
        owner=wanted.owner,
        project=wanted.project,
        backend=wanted.backend,
        since=_moment(wanted.since),
        until=_moment(wanted.until),
    )
    return Call("GET", path_of("v1/usage"), reads(UsageSummary), params)


def replay_log() -> Call[ReplayReport]:
    """Rebuild the figures from the event log alone and compare them."""
    return Call("POST", path_of("v1/audit/replay"), reads(ReplayReport), hold=570.0)


def list_events(wanted: EventFilter, *, since_sequence: int = 0, limit: int = 500) -> Call[EventPage]:
    """List a page of events, oldest first."""
    params = (*wanted.to_params(), *params_of(since_sequence=since_sequence or None, limit=limit))
    return Call("GET", path_of("v1/events"), reads(EventPage), params)


def list_backends() -> Call[BackendList]:
    """List the clusters and what is free on them."""
    return Call("GET", path_of("v1/backends"), reads(BackendList))


def list_applications() -> Call[Catalog]:
    """List what can be started by its name."""
    return Call("GET", path_of("v1/applications"), reads(Catalog))


def who_am_i() -> Call[WhoAmI]:
    """Ask whom the server takes the caller for."""
    return Call("GET", path_of("v1/whoami"), reads(WhoAmI))


def get_readiness() -> Call[dict[str, Any]]:
    """Ask every part whether it can work; a part that cannot is an answer too."""
    return Call("GET", path_of("readyz"), _read_object, readable=frozenset({503}))


def _read_object(response: httpx.Response) -> dict[str, Any]:
    found = response.json()
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 (the caller reads ValueError as a bad answer)
    return {**found, "date": response.headers.get("date")}


def _moment(value: datetime | None) -> str | None:
    return value.isoformat() if value else None
