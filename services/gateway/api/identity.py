"""`/v1/whoami`: who the gateway takes the caller for."""

from __future__ import annotations

from starlette.responses import Response

from contracts.principals import Principal
from services.gateway.lean import Router

from . import examples
from .answers import answers, json_answer
from .context import Services

__all__ = ["router"]

router = Router(prefix="/v1/whoami", tags=["site"])


@router.get(
    "",
    summary="Show who is asking",
    operation_id="whoami",
    response_model=Principal,
    responses=answers(example=examples.PRINCIPAL),
)
async def whoami(services: Services) -> Response:
    return json_answer(services.caller.principal)
