"""`/v1/usage` and `/v1/audit`: what was used, and the proof."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from contracts.errors import InvalidError
from contracts.usage import GroupBy, ReplayReport, UsageSummary
from services.gateway.lean import Router

from . import examples
from .answers import answers, json_answer
from .context import Moment, Name, Services

__all__ = ["router"]

router = Router(prefix="/v1", tags=["usage"])


@router.get(
    "/usage",
    summary="Sum up what was used",
    operation_id="getUsage",
    response_model=UsageSummary,
    responses=answers(example=examples.USAGE),
)
async def get_usage(
    services: Services,
    group_by: Annotated[
        list[str],
        Query(max_length=10, description=f"Of {', '.join(GroupBy)}; repeated or with commas.", examples=["owner,day"]),
    ] = ["owner,project,day"],  # noqa: B006 (FastAPI copies it)
    owner: Name = None,
    project: Name = None,
    backend: Name = None,
    since: Moment | None = None,
    until: Moment | None = None,
) -> Response:
    summary = await services.usage().sum(
        _groups(group_by), owner=owner, project=project, backend=backend, since=since, until=until
    )
    return json_answer(summary)


@router.post(
    "/audit/replay",
    summary="Rebuild the figures from the event log and compare",
    operation_id="replayAudit",
    response_model=ReplayReport,
    responses=answers(example=examples.REPLAY),
)
async def replay(services: Services) -> Response:
    return json_answer(await services.usage().replay())


def _groups(words: list[str]) -> list[GroupBy]:
    try:
        return list(dict.fromkeys(GroupBy(part) for word in words for part in word.split(",") if part))
    except ValueError:
        raise InvalidError.of("group_by", f"must be of {', '.join(GroupBy)}") from None
