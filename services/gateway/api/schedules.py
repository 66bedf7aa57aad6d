"""`/v1/schedules`: jobs that are submitted again and again."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Header, Path, Request
from starlette.responses import Response

from contracts.errors import ConflictError, InvalidError, MismatchError, NotFoundError, OverQuotaError, TooLargeError
from contracts.queries import SchedulePage
from contracts.schedules import Schedule, ScheduleRun, ScheduleSpec
from services.gateway.lean import Router

from . import schedule_examples as examples
from .answers import answers, json_answer
from .conditional import revision_of, revision_tag
from .context import Cursor, Limit, Name, Services
from .pages import next_link
from .preferences import read_idempotency_key, read_preference
from .views import Pending

__all__ = ["router"]

router = Router(prefix="/v1/schedules", tags=["schedules"])

_PENDING = {202: ("The scheduler is away; the command is kept and will be handled.", Pending)}
_KEY = Header(alias="Idempotency-Key", description="The same key and request twice make one.", examples=["nightly"])
_PREFER = Header(alias="Prefer", description="`wait=N` (seconds) or `respond-async` (RFC 7240).", examples=["wait=5"])

ScheduleAt = Annotated[
    str,
    Path(
        pattern=r"^sch-[0-9a-f]{32}$",
        description="The schedule's identifier.",
        examples=["sch-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"],
    ),
]


@router.post(
    "",
    summary="Make a schedule",
    operation_id="createSchedule",
    status_code=201,
    response_model=Schedule,
    responses=answers(
        *(ConflictError, MismatchError, OverQuotaError, TooLargeError),
        example=examples.SCHEDULE,
        status=201,
        more={200: ("The key was used before, for the same request: this is what it made.", Schedule), **_PENDING},
    ),
)
async def post_schedule(
    spec: Annotated[ScheduleSpec, Body(openapi_examples=examples.SCHEDULES)],
    services: Services,
    idempotency_key: Annotated[str | None, _KEY] = None,
    prefer: Annotated[str | None, _PREFER] = None,
) -> Response:
    key, preference = read_idempotency_key(idempotency_key), read_preference(prefer)
    schedule_id, made, replayed = await services.schedules().create(spec, key=key, wait=preference.wait)
    headers = {"Location": f"/v1/schedules/{schedule_id}", **preference.to_headers()}
    if made is None:
        return _pending(schedule_id, headers)
    if replayed:
        return _show(made, headers={**headers, "Idempotent-Replayed": "true"})
    return _show(made, status=201, headers=headers)


@router.get(
    "",
    summary="List schedules, newest first",
    operation_id="listSchedules",
    response_model=SchedulePage,
    responses=answers(example={"items": [examples.SCHEDULE], "next_cursor": None}),
)
async def list_schedules(
    request: Request,
    services: Services,
    limit: Limit = 50,
    cursor: Cursor = None,
    owner: Name = None,
    name: Name = None,
) -> Response:
    page = await services.schedules().page(limit=limit, cursor=cursor, owner=owner, name=name)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.get(
    "/{schedule_id}",
    summary="Show a schedule, what it will do next and did last",
    operation_id="getSchedule",
    response_model=Schedule,
    responses=answers(NotFoundError, example=examples.SCHEDULE),
)
async def get_schedule(schedule_id: ScheduleAt, services: Services) -> Response:
    return _show(await services.schedules().get(schedule_id))


@router.put(
    "/{schedule_id}",
    summary="Let a schedule be another one",
    operation_id="replaceSchedule",
    response_model=Schedule,
    responses=answers(NotFoundError, ConflictError, TooLargeError, example=examples.SCHEDULE, more=_PENDING),
)
async def put_schedule(
    schedule_id: ScheduleAt,
    spec: Annotated[ScheduleSpec, Body(openapi_examples=examples.SCHEDULES)],
    services: Services,
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="Only if it has still this `ETag`.", examples=['"1"'])
    ] = None,
) -> Response:
    revision = revision_of(if_match)
    if if_match is not None and if_match.strip() != "*" and revision is None:
        raise InvalidError.of("If-Match", "must be the ETag of a schedule")
    changed = await services.schedules().replace(schedule_id, spec, revision)
    return _pending(schedule_id) if changed is None else _show(changed)


@router.post(
    "/{schedule_id}/pause",
    summary="Make no more jobs for now",
    operation_id="pauseSchedule",
    response_model=Schedule,
    responses=answers(NotFoundError, ConflictError, example=examples.SCHEDULE, more=_PENDING),
)
async def pause_schedule(schedule_id: ScheduleAt, services: Services) -> Response:
    found = await services.schedules().pause(schedule_id)
    return _pending(schedule_id) if found is None else _show(found)


@router.post(
    "/{schedule_id}/resume",
    summary="Go on making jobs",
    operation_id="resumeSchedule",
    response_model=Schedule,
    responses=answers(NotFoundError, ConflictError, example=examples.SCHEDULE, more=_PENDING),
)
async def resume_schedule(schedule_id: ScheduleAt, services: Services) -> Response:
    found = await services.schedules().resume(schedule_id)
    return _pending(schedule_id) if found is None else _show(found)


@router.post(
    "/{schedule_id}/trigger",
    summary="Make one job now, whatever is running",
    operation_id="triggerSchedule",
    status_code=201,
    response_model=ScheduleRun,
    responses=answers(NotFoundError, ConflictError, example=examples.RUN, status=201, more=_PENDING),
)
async def trigger_schedule(schedule_id: ScheduleAt, services: Services) -> Response:
    run = await services.schedules().trigger(schedule_id)
    return _pending(schedule_id) if run is None else json_answer(run, status=201)


@router.delete(
    "/{schedule_id}",
    summary="Make no more jobs, ever; those that were made stay",
    operation_id="deleteSchedule",
    status_code=204,
    response_model=None,
    responses=answers(NotFoundError, more=_PENDING),
)
async def delete_schedule(schedule_id: ScheduleAt, services: Services) -> Response:
    done = await services.schedules().delete(schedule_id)
    return Response(status_code=204) if done else _pending(schedule_id)


def _show(schedule: Schedule, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return json_answer(schedule, status=status, headers={"ETag": revision_tag(schedule.revision), **(headers or {})})


def _pending(schedule_id: str, headers: dict[str, str] | None = None) -> Response:
    return json_answer(Pending(id=schedule_id), status=202, headers={"Retry-After": "1", **(headers or {})})
