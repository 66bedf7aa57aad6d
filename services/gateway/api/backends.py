"""`/v1/backends`: the clusters and what is free on each."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from contracts.backends import BackendView
from contracts.errors import NotFoundError
from contracts.model import Model
from services.gateway.lean import Router

from . import examples
from .answers import answers, json_answer
from .context import Services

__all__ = ["BackendList", "BackendPath", "router"]

router = Router(prefix="/v1/backends", tags=["site"])

BackendPath = Annotated[
    str,
    Path(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Its name.", examples=["local"]),
]


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


@router.get(
    "/{name}",
    summary="Show one backend",
    operation_id="getBackend",
    response_model=BackendView,
    responses=answers(NotFoundError, example=examples.BACKEND),
)
async def get_backend(services: Services, name: BackendPath) -> Response:
    return json_answer(await services.site().backend(name))
