"""`/v1/zip`: a folder of the user's, as one download."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from contracts.errors import NotFoundError
from contracts.transfers import FolderPath
from services.gateway.lean import Router

from .answers import answers
from .context import Name, Services
from .downloads import answer_zip

__all__ = ["router"]

router = Router(prefix="/v1/zip", tags=["files"])

_FolderAt = Annotated[FolderPath, Path(description="A folder in the user's files.", examples=["data"])]
_ANSWERS = answers(NotFoundError, media_type="application/zip", binary=True)
_ABOUT = (
    "It is made while it is sent, of the files as they are when it begins, and may be of any size. A zip that breaks "
    "off has no end, which every program notices."
)


@router.get(
    "",
    summary="Download all files as a zip",
    operation_id="zipFiles",
    description=_ABOUT,
    response_class=Response,
    responses=_ANSWERS,
)
async def zip_all(services: Services, owner: Name = None) -> Response:
    return answer_zip(await services.streams().zip_stream(owner=owner), "files")


@router.get(
    "/{path:path}",
    summary="Download a folder as a zip",
    operation_id="zipFolder",
    description=_ABOUT,
    response_class=Response,
    responses=_ANSWERS,
)
async def zip_folder(path: _FolderAt, services: Services, owner: Name = None) -> Response:
    return answer_zip(await services.streams().zip_stream(path, owner=owner), path.rsplit("/", 1)[-1])
