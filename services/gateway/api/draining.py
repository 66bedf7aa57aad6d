"""`/v1/admin/backends`: backends are taken out of service and put back."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body
from fastapi.openapi.models import Example
from pydantic import Field
from starlette.responses import Response

from contracts.backends import BackendView
from contracts.errors import ConflictError, ForbiddenError, NotFoundError
from contracts.model import Model
from services.gateway.lean import Router

from . import examples
from .answers import answers, json_answer
from .backends import BackendPath
from .context import Services

__all__ = ["DrainWish", "router"]

router = Router(prefix="/v1/admin/backends", tags=["operations"])

_EXAMPLES = {"maintenance": Example(summary="Before an upgrade", value={"message": "new disks on Friday"})}


class DrainWish(Model):
    """Why a backend is to get no new work."""

    message: str = Field(default="", max_length=1000)
    """Users see it in `explain` and in the list of backends."""


@router.post(
    "/{name}/drain",
    summary="Give a backend no new work; what it has runs to its end",
    operation_id="drainBackend",
    response_model=BackendView,
    responses=answers(ForbiddenError, NotFoundError, example=examples.BACKEND_DRAINED),
)
async def drain_backend(
    services: Services, name: BackendPath, wish: Annotated[DrainWish | None, Body(openapi_examples=_EXAMPLES)] = None
) -> Response:
    return json_answer(await services.site().drain(name, wish.message if wish else ""))


@router.post(
    "/{name}/resume",
    summary="Give a backend work again",
    operation_id="resumeBackend",
    response_model=BackendView,
    responses=answers(ForbiddenError, NotFoundError, ConflictError, example=examples.BACKEND),
)
async def resume_backend(services: Services, name: BackendPath) -> Response:
    return json_answer(await services.site().resume(name))
