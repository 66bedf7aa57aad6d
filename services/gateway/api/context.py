"""What a route is given: the services of its request, made for whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, AwareDatetime

from contracts.spec import FilePath
from services.gateway.auth.facts import facts_of
from services.gateway.callers import TRACE, Caller
from services.gateway.factory import Factory, Process

from .parameters import refuse_unknown

__all__ = ["Cursor", "FileAt", "JobId", "Limit", "Moment", "Name", "Services", "process_of"]


def process_of(request: Request) -> Process:
    """Return what was made at the start."""
    process: Process = request.app.state.process
    return process


async def services_of(request: Request) -> Factory:
    """Find out who asks, and make what serves them."""
    process = process_of(request)
    passport = await process.door.identify(request)
    refuse_unknown(request)
    facts = facts_of(request) if passport.caveats else None
    return Factory(process, Caller.of(passport, request.scope[TRACE], facts))


Services = Annotated[Factory, Depends(services_of)]
"""The services of this request; a route that has them has a principal."""


def _within_reason(moment: datetime) -> datetime:
    """Refuse moments that cannot be said in UTC or kept by a database."""
    if not 1970 <= moment.year <= 9000:
        raise ValueError("must lie between the years 1970 and 9000")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_within_reason)]
"""A point in time with its zone, e.g. `2026-01-31T12:00:00Z`."""

JobId = Annotated[
    str,
    Path(
        pattern=r"^[a-z]{3}-[0-9a-f]{32}$",
        description="The job's identifier.",
        examples=["job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"],
    ),
]

FileAt = Annotated[FilePath, Path(description="A path in the user's files.", examples=["data/digits.csv"])]

Limit = Annotated[int, Query(ge=1, le=1000, description="How many items a page has at most.")]

Cursor = Annotated[str | None, Query(max_length=2048, description="`next_cursor` of the page before.")]
"""Where a page begins; none for the first one."""

Name = Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A filter by name."""
