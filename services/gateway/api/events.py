"""`/v1/events`: the event log, by pages or as it grows."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response

from contracts.envelope import Envelope
from contracts.errors import InvalidError
from contracts.model import Model
from services.gateway.events import EventFilter
from services.gateway.lean import Router
from services.gateway.sse import sse_response

from . import examples
from .answers import answers, json_answer
from .context import Limit, Moment, Name, Services

__all__ = ["EventPage", "LoggedEvent", "router"]

router = Router(prefix="/v1/events", tags=["events"])

_Sequence = Annotated[
    int | None, Query(ge=0, le=2**63 - 1, description="The first place in the log that is wanted; wins over `since`.")
]


class LoggedEvent(Model):
    """An event and its place in the log."""

    sequence: int
    event: Envelope


class EventPage(Model):
    """Some events, oldest first."""

    items: list[LoggedEvent]
    next_sequence: int
    """Where the next page begins: pass it as `since_sequence`."""


@router.get(
    "",
    summary="Read or follow the event log",
    operation_id="getEvents",
    description=(
        "With `Accept: text/event-stream` or `follow=true` server-sent events (id: place in the log, event: the type, "
        "data: the CloudEvent), from `Last-Event-ID`, `since_sequence` or `since` on, else from now. Otherwise a page, "
        "oldest first, from the beginning of the log unless told otherwise."
    ),
    response_model=EventPage,
    responses=answers(example=examples.EVENTS),
)
async def get_events(
    services: Services,
    type_: Annotated[
        list[str],
        Query(alias="type", max_length=32, description="The beginning of a type.", examples=["workload.moved"]),
    ] = [],  # noqa: B006 (FastAPI copies it)
    job: Annotated[str | None, Query(pattern=r"^[a-z]{3}-[0-9a-f]{32}$", description="Moves of this job.")] = None,
    owner: Name = None,
    project: Name = None,
    since_sequence: _Sequence = None,
    since: Moment | None = None,
    limit: Limit = 100,
    follow: bool = False,
    accept: Annotated[str, Header(alias="Accept")] = "",
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", examples=["42"])] = None,
) -> Response:
    wanted = EventFilter(types=tuple(type_), job=job, owner=owner, project=project)
    wanted.to_subjects()
    start = since_sequence if since_sequence is not None else since
    if follow or "text/event-stream" in accept:
        after = _read_id(last_event_id)
        return sse_response(services.events().follow(wanted, start=start if after is None else after + 1))
    found, next_sequence = await services.events().page(wanted, start=1 if start is None else start, limit=limit)
    items = [LoggedEvent.model_construct(sequence=seen.sequence, event=seen.envelope) for seen in found]
    return json_answer(EventPage.model_construct(items=items, next_sequence=next_sequence))


def _read_id(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidError.of("Last-Event-ID", "is not the id of an event")
    return int(text)
