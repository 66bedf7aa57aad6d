"""`/v1/folder-rules` and `/v1/storage`: what folders may hold and for how long, and what all files come to."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from contracts.errors import ForbiddenError, NotFoundError, OverQuotaError
from contracts.shelves import FolderRule, FolderRulePage, FolderRuleSpec, OwnersPage, StorageUsage
from contracts.spec import FilePath
from services.gateway.lean import Router

from . import folder_examples as examples
from .answers import answers, json_answer
from .context import Cursor, Limit, Name, Services
from .pages import next_link
from .views import Pending

__all__ = ["router"]

router = Router(prefix="/v1", tags=["files"])

_Folder = Annotated[
    FilePath | None, Query(description="The folder; none is all that the owner has.", examples=["data/incoming"])
]
_PENDING: dict[int, tuple[str, type[BaseModel] | None]] = {
    202: ("Storage is away; the command is kept and will be handled.", Pending)
}


@router.get(
    "/folder-rules",
    summary="List the rules of folders",
    operation_id="listFolderRules",
    response_model=FolderRulePage,
    responses=answers(NotFoundError, example={"items": [examples.RULE]}),
)
async def list_folder_rules(services: Services, owner: Name = None) -> Response:
    return json_answer(await services.shelves().rules(owner))


@router.put(
    "/folder-rules",
    summary="Bound a folder",
    operation_id="setFolderRule",
    description=(
        "A quota for what is in it, a time after which files go to the trash. It takes the place of what was said "
        "before, and stays with the name of the folder. What all files of somebody may come to is for admins to say."
    ),
    response_model=FolderRule,
    responses=answers(NotFoundError, ForbiddenError, OverQuotaError, example=examples.RULE, more=_PENDING),
)
async def set_folder_rule(
    services: Services,
    rule: Annotated[FolderRuleSpec, Body(openapi_examples=examples.RULES)],
    folder: _Folder = None,
    owner: Name = None,
) -> Response:
    found = await services.shelves().set_rule(folder, owner, rule)
    return json_answer(found) if found else json_answer(Pending(id=folder or "/"), status=202)


@router.delete(
    "/folder-rules",
    summary="Bound a folder no more",
    operation_id="dropFolderRule",
    status_code=204,
    response_class=Response,
    responses=answers(NotFoundError, ForbiddenError, more=_PENDING),
)
async def drop_folder_rule(services: Services, folder: _Folder = None, owner: Name = None) -> Response:
    done = await services.shelves().drop_rule(folder, owner)
    return Response(status_code=204) if done else json_answer(Pending(id=folder or "/"), status=202)


@router.get(
    "/storage",
    summary="Show what all files come to",
    operation_id="getStorageUsage",
    description="Versions and trash do not count against the quota; what is on its way does.",
    response_model=StorageUsage,
    responses=answers(NotFoundError, example=examples.USAGE),
)
async def get_storage_usage(services: Services, owner: Name = None) -> Response:
    return json_answer(await services.shelves().usage(owner))


@router.get(
    "/storage/owners",
    summary="Show what everybody's files come to",
    operation_id="listStorageOwners",
    description="For admins and auditors of the site.",
    response_model=OwnersPage,
    responses=answers(ForbiddenError, example={"items": [examples.OWNER], "next_cursor": None}),
)
async def list_storage_owners(
    request: Request, services: Services, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    page = await services.shelves().owners(limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))
