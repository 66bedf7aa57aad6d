"""`/v1/admin`: what operators see and mend."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from contracts.errors import ForbiddenError, InvalidError, NotFoundError
from contracts.operations import ParkedChange, ParkedPage, ParkedView, SiteHealth
from contracts.subjects import command_filter
from services.gateway.lean import Router
from services.gateway.parked import ParkedFilter

from . import examples_admin as examples
from .answers import answers, json_answer
from .context import Limit, Services

__all__ = ["router"]

router = Router(prefix="/v1/admin", tags=["operations"])

_Service = Annotated[
    str | None, Query(pattern=r"^[a-z][a-z0-9-]{0,63}$", description="Who could not handle it.", examples=["scheduler"])
]
_Subject = Annotated[
    str | None,
    Query(
        pattern=r"^[A-Za-z0-9_=.-]{1,256}$",
        description="The beginning of the subject it was sent to.",
        examples=[command_filter("scheduler").removesuffix(".>")],
    ),
]
_All = Annotated[bool, Query(alias="all", description="Really all of them: needed where no filter is given.")]
_Sequence = Annotated[int, Path(ge=1, le=2**63 - 1, description="The place of a parked message.", examples=[7])]


@router.get(
    "/health",
    summary="See what is wrong with the site, why, and what mends it",
    description="Always 200 within some seconds, whatever is down; `status` says how it is. For admins of the site.",
    operation_id="getSiteHealth",
    response_model=SiteHealth,
    responses=answers(ForbiddenError, example=examples.HEALTH),
)
async def get_site_health(services: Services) -> Response:
    return json_answer(await services.operations().look())


@router.get(
    "/parked",
    summary="List messages that could not be handled, oldest first",
    operation_id="listParked",
    response_model=ParkedPage,
    responses=answers(ForbiddenError, InvalidError, example=examples.PARKED_PAGE),
)
async def list_parked(
    services: Services,
    service: _Service = None,
    subject: _Subject = None,
    limit: Limit = 100,
    cursor: Annotated[str | None, Query(max_length=64, description="From `next_cursor`.")] = None,
) -> Response:
    return json_answer(await services.parked().page(ParkedFilter(service, subject), cursor=cursor, limit=limit))


@router.get(
    "/parked/{sequence}",
    summary="Look into a parked message; secrets are left out",
    operation_id="getParked",
    response_model=ParkedView,
    responses=answers(ForbiddenError, NotFoundError, example=examples.PARKED),
)
async def get_parked(services: Services, sequence: _Sequence) -> Response:
    return json_answer(await services.parked().get(sequence))


@router.post(
    "/parked/{sequence}/resend",
    summary="Send a parked message again to where it was sent first",
    operation_id="resendParked",
    response_model=ParkedChange,
    responses=answers(ForbiddenError, NotFoundError, example=examples.PARKED_CHANGE),
)
async def resend_parked(services: Services, sequence: _Sequence) -> Response:
    return json_answer(await services.parked().resend(sequence))


@router.post(
    "/parked/resend",
    summary="Send all parked messages again that fit, up to 500 at a time",
    operation_id="resendAllParked",
    response_model=ParkedChange,
    responses=answers(ForbiddenError, InvalidError, example=examples.PARKED_CHANGE),
)
async def resend_all_parked(
    services: Services, service: _Service = None, subject: _Subject = None, everything: _All = False
) -> Response:
    parked = services.parked()
    return json_answer(await parked.resend_all(_narrow(ParkedFilter(service, subject), everything)))


@router.delete(
    "/parked/{sequence}",
    summary="Drop a parked message",
    operation_id="dropParked",
    response_model=ParkedChange,
    responses=answers(ForbiddenError, NotFoundError, example=examples.PARKED_CHANGE),
)
async def drop_parked(services: Services, sequence: _Sequence) -> Response:
    return json_answer(await services.parked().drop(sequence))


@router.delete(
    "/parked",
    summary="Drop all parked messages that fit, up to 500 at a time",
    operation_id="dropAllParked",
    response_model=ParkedChange,
    responses=answers(ForbiddenError, InvalidError, example=examples.PARKED_CHANGE),
)
async def drop_all_parked(
    services: Services, service: _Service = None, subject: _Subject = None, everything: _All = False
) -> Response:
    parked = services.parked()
    return json_answer(await parked.drop_all(_narrow(ParkedFilter(service, subject), everything)))


def _narrow(wanted: ParkedFilter, everything: bool) -> ParkedFilter:
    if wanted.is_open and not everything:
        raise InvalidError.of("all", "say service, subject, or all=true")
    return wanted
