"""`/v1/backends`: the clusters and what is free on each."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from contracts.model import Model
from contracts.queries import BackendView

from . import examples
from .answers import answers, json_answer
from .context import Services

__all__ = ["BackendList", "router"]

router = APIRouter(prefix="/v1/backends", tags=["site"])


class BackendList(Model):
    """All backends."""

    items: list[BackendView]


@router.get(
    "",
    summary="List the backends and what is free on each",
    operation_id="listBackends",
    response_model=BackendList,
    responses=answers(example={"items": [examples.BACKEND]}),
)
async def list_backends(services: Services) -> Response:
    return json_answer(BackendList(items=await services.site().backends()))
