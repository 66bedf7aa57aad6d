"""`/v1/folders` and `/v1/moves`: folders that are there also while nothing is in them, and other names for files."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from contracts.errors import ConflictError, NotFoundError, OverQuotaError
from contracts.files import Folder, FolderRecord, Moved
from contracts.model import Model
from contracts.spec import FilePath
from services.gateway.lean import Router

from . import folder_examples as examples
from .answers import answers, json_answer
from .context import Name, Services
from .views import Pending

__all__ = ["NewName", "router"]

router = Router(prefix="/v1", tags=["files"])

_FolderAt = Annotated[FilePath, Path(description="A folder of the user's files.", examples=["data/raw"])]
_PENDING: dict[int, tuple[str, type[BaseModel] | None]] = {
    202: ("Storage is away; the command is kept and will be handled.", Pending)
}


class NewName(Model):
    """Another name for a file, or for a folder with all that is in it."""

    path: FilePath = Field(examples=["data/digits.csv"])
    to: FilePath = Field(examples=["data/old/digits.csv"])
    folder: bool = False
    """Whether `path` is a folder, and `to` the name that it shall have."""
    replace: bool = False
    """Whether what is there already may be overwritten; it can be brought back for a while."""


@router.get(
    "/folders/{folder:path}",
    summary="Show what a folder holds",
    operation_id="getFolder",
    description="A folder is there if it was made, or if a file is in it.",
    response_model=FolderRecord,
    responses=answers(NotFoundError, example=examples.FOLDER),
)
async def get_folder(folder: _FolderAt, services: Services, owner: Name = None) -> Response:
    return json_answer(await services.files().folder(folder, owner))


@router.put(
    "/folders/{folder:path}",
    summary="Make a folder",
    operation_id="makeFolder",
    description="It is there also while nothing is in it. One that is there stays as it is.",
    response_model=Folder,
    status_code=201,
    responses=answers(ConflictError, example=examples.MADE, status=201, more=_PENDING),
)
async def make_folder(folder: _FolderAt, services: Services) -> Response:
    made = await services.files().make_folder(folder)
    return json_answer(made, status=201) if made else _pending(folder)


@router.post(
    "/moves",
    summary="Move or rename a file or a folder",
    operation_id="moveFile",
    description=(
        "A folder moves with all that is in it, at once: nobody ever sees a half of it. Bytes are not copied. "
        "What was said of a name, such as with whom it is shared, stays with the name."
    ),
    response_model=Moved,
    responses=answers(NotFoundError, ConflictError, OverQuotaError, example=examples.MOVED, more=_PENDING),
)
async def move_file(move: Annotated[NewName, Body(openapi_examples=examples.MOVES)], services: Services) -> Response:
    moved = await services.files().move(move.path, move.to, folder=move.folder, replace=move.replace)
    return json_answer(moved) if moved else _pending(move.to)


def _pending(path: str) -> Response:
    return json_answer(Pending(id=path), status=202)
