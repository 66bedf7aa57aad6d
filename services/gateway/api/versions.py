"""`/v1/versions`, `/v1/restores` and `/v1/trash`: what files were before, and how they come back."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import Body, Path, Query, Request
from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response

from contracts.errors import NotFoundError, OverQuotaError
from contracts.model import Model
from contracts.shelves import Gone, Purged, Restored, VersionId, VersionPage
from contracts.spec import FilePath
from services.gateway.lean import Router

from . import folder_examples as examples
from .answers import answers, json_answer
from .context import Cursor, Limit, Name, Services
from .pages import next_link
from .views import Pending

__all__ = ["RestoreWish", "router"]

router = Router(prefix="/v1", tags=["files"])

_PENDING: dict[int, tuple[str, type[BaseModel] | None]] = {
    202: ("Storage is away; the command is kept and will be handled.", Pending)
}
_Which = Annotated[FilePath | None, Query(description="Only of this file, and of what was in the folder of this name.")]


class RestoreWish(Model):
    """What shall be as it was: a version, or what is in the trash."""

    version: VersionId | None = Field(default=None, examples=["0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"])
    """What is under its name now is kept as a version in turn."""
    to: FilePath | None = None
    """The name that the version shall have; by default the one that it had."""
    path: FilePath | None = Field(default=None, examples=["data/digits.csv"])
    """The name of a deleted file; if something has it again, that stays."""
    folder: bool = False
    """Whether `path` is a folder: all that was deleted in it comes back."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.version is None) == (self.path is None):
            raise ValueError("either version or path must be given")
        if self.path is not None and self.to is not None:
            raise ValueError("to goes with version only")
        return self


@router.get(
    "/versions",
    summary="List what files were before",
    operation_id="listVersions",
    description="Those that went last first; each says until when it can be brought back.",
    response_model=VersionPage,
    responses=answers(NotFoundError, example={"items": [examples.VERSION], "next_cursor": None}),
)
async def list_versions(
    request: Request,
    services: Services,
    path: _Which = None,
    reason: Annotated[list[Gone] | None, Query(description="Why they went; by default all.")] = None,
    owner: Name = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    page = await services.shelves().versions(path, reason or [], owner, limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.delete(
    "/versions/{version}",
    summary="Do away with a version",
    operation_id="purgeVersion",
    description="Nobody can bring it back.",
    status_code=204,
    response_class=Response,
    responses=answers(NotFoundError, more=_PENDING),
)
async def purge_version(
    version: Annotated[VersionId, Path(description="A version.", examples=["0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"])],
    services: Services,
) -> Response:
    done = await services.shelves().purge(version=version)
    return Response(status_code=204) if done else json_answer(Pending(id=version), status=202)


@router.post(
    "/restores",
    summary="Bring files back",
    operation_id="restoreFile",
    response_model=Restored,
    responses=answers(NotFoundError, OverQuotaError, example=examples.RESTORED, more=_PENDING),
)
async def restore_file(
    wish: Annotated[RestoreWish, Body(openapi_examples=examples.RESTORES)], services: Services
) -> Response:
    shelves = services.shelves()
    if wish.version is not None:
        found = await shelves.restore_version(wish.version, wish.to)
    else:
        found = await shelves.restore(wish.path or "", folder=wish.folder)
    return json_answer(found) if found else json_answer(Pending(id=wish.version or wish.path or ""), status=202)


@router.delete(
    "/trash",
    summary="Empty the trash",
    operation_id="emptyTrash",
    description="Nobody can bring back what was in it. Versions of files that were overwritten stay.",
    response_model=Purged,
    responses=answers(example=examples.PURGED, more=_PENDING),
)
async def empty_trash(services: Services, path: _Which = None) -> Response:
    found = await services.shelves().purge(path)
    return json_answer(found) if found else json_answer(Pending(id=path or "/"), status=202)
