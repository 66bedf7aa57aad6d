"""Finding the job that somebody means."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shunter.client import Client
    from shunter.models import JobView

__all__ = ["find_by_name", "find_job_id"]

_ID = re.compile(r"^[a-z]{3}-[0-9a-f]{32}$")

_NUMBER = re.compile(r"^[1-9][0-9]{0,14}$")

_SHOWN = 5
"""How many candidates are named when a name is not enough."""


def find_job_id(client: Client, wanted: str) -> str:
    """Return the identifier of a job: itself, `last`, that of its number, or of the one job of that name."""
    if _ID.match(wanted):
        return wanted
    if _NUMBER.match(wanted) and (found := _numbered(client, int(wanted))):
        return found
    return _last(client) if wanted == "last" else _named(client, wanted)


def _last(client: Client) -> str:
    from contracts.errors import NotFoundError
    from shunter.calls.jobs import JobFilter

    found = client.list_jobs(JobFilter(owner=client.who_am_i().subject), limit=1).items
    if not found:
        raise NotFoundError("you have no job yet")
    return found[0].id


def _numbered(client: Client, number: int) -> str | None:
    from shunter.calls.jobs import JobFilter

    found = client.list_jobs(JobFilter(number=number), limit=1).items
    return found[0].id if found else None


def _named(client: Client, name: str) -> str:
    from contracts.errors import InvalidError, NotFoundError
    from shunter.calls.jobs import JobFilter

    found = client.list_jobs(JobFilter(name=name), limit=_SHOWN).items
    if not found:
        raise NotFoundError(f"no job has the id or the name {name!r}")
    if len(found) > 1:
        raise InvalidError(f"several jobs are called {name!r}; say which: {_listed(found)}")
    return found[0].id


def _listed(found: list[JobView]) -> str:
    return ", ".join(f"{job.id} ({job.state}, {job.created_at:%Y-%m-%d %H:%M})" for job in found)


class _Named(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def state(self) -> object: ...


def find_by_name(wanted: str, prefix: str, kind: str, look: Callable[[], Sequence[_Named]]) -> str:
    """Return the identifier of something that is no job: itself, or that of the only one that *look* finds."""
    from contracts.errors import InvalidError, NotFoundError

    if wanted.startswith(f"{prefix}-") and _ID.match(wanted):
        return wanted
    found = look()
    if not found:
        raise NotFoundError(f"no {kind} has the id or the name {wanted!r}")
    if len(found) > 1:
        listed = ", ".join(f"{one.id} ({one.state})" for one in found)
        raise InvalidError(f"several {kind}s are called {wanted!r}; say which: {listed}")
    return found[0].id
