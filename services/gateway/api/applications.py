"""`/v1/applications`: what the site offers to be started by its name."""

from __future__ import annotations

from starlette.responses import Response

from contracts.catalog import Catalog
from services.gateway.lean import Router

from . import examples
from .answers import answers, json_answer
from .context import Services

__all__ = ["router"]

router = Router(prefix="/v1/applications", tags=["site"])


@router.get(
    "",
    summary="List the applications that can be started by their name",
    operation_id="listApplications",
    response_model=Catalog,
    responses=answers(example=examples.APPLICATIONS),
)
async def list_applications(services: Services) -> Response:
    return json_answer(await services.site().applications())
