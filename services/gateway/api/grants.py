"""Grants: who else may read or control a job or a folder, and what others share with the caller."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Body, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from contracts.errors import NotFoundError, OverQuotaError
from contracts.grants import Grant, Grantee, GrantPage, Right
from contracts.model import Model, Timestamp, now
from contracts.spec import FilePath
from services.gateway.lean import Router

from . import grant_examples as examples
from .answers import answers, json_answer
from .context import Cursor, JobId, Limit, Name, Services
from .pages import next_link
from .views import Pending

__all__ = ["GrantWish", "router"]

router = Router(prefix="/v1", tags=["sharing"])


class GrantWish(Model):
    """What somebody else shall be let do."""

    right: Right = Right.READ
    """`read` looks; `control` also steers a job or writes into a folder."""
    expires_at: Timestamp | None = None
    """From then on it is as if nothing were granted; by default never."""


Whom = Annotated[
    Grantee,
    Path(description="`user:<subject>`, `project:<name>` or `token:<id>`.", examples=["user:bob", "project:vision"]),
]
Folder = Annotated[FilePath, Query(description="The folder; it need not hold anything yet.", examples=["data/shared"])]
Wish = Annotated[GrantWish, Body(openapi_examples=examples.WISHES)]

_More = dict[int, tuple[str, type[BaseModel] | None]]
_PENDING: _More = {202: ("The service is away; the command is kept and will be handled.", Pending)}
_CHANGED: _More = {200: ("It was shared with them before, and is now as said.", Grant), **_PENDING}


@router.get(
    "/jobs/{job_id}/grants",
    summary="List with whom a job is shared",
    operation_id="listJobGrants",
    description="Whoever got a grant sees their own only.",
    response_model=GrantPage,
    responses=answers(NotFoundError, example={"items": [examples.GRANT], "next_cursor": None}),
)
async def list_job_grants(
    request: Request, job_id: JobId, services: Services, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    page = await services.sharing().job_grants(job_id, limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.get(
    "/jobs/{job_id}/grants/{grantee}",
    summary="Show what somebody may do with a job",
    operation_id="getJobGrant",
    response_model=Grant,
    responses=answers(NotFoundError, example=examples.GRANT),
)
async def get_job_grant(job_id: JobId, grantee: Whom, services: Services) -> Response:
    return json_answer(await services.sharing().job_grant(job_id, grantee))


@router.put(
    "/jobs/{job_id}/grants/{grantee}",
    summary="Share a job",
    operation_id="shareJob",
    description="For its owner, admins of its project and of the site. Said again it replaces what was said before.",
    status_code=201,
    response_model=Grant,
    responses=answers(NotFoundError, OverQuotaError, example=examples.GRANT, status=201, more=_CHANGED),
)
async def share_job(job_id: JobId, grantee: Whom, services: Services, wish: Wish) -> Response:
    asked_at = now()
    grant = await services.sharing().share_job(job_id, grantee, wish.right, wish.expires_at)
    return _show(grantee, grant, asked_at)


@router.delete(
    "/jobs/{job_id}/grants/{grantee}",
    summary="Share a job no more",
    operation_id="unshareJob",
    description="It is over at once: streams that are open end.",
    status_code=204,
    response_model=None,
    responses=answers(NotFoundError, more=_PENDING),
)
async def unshare_job(job_id: JobId, grantee: Whom, services: Services) -> Response:
    done = await services.sharing().unshare_job(job_id, grantee)
    return Response(status_code=204) if done else _pending(grantee)


@router.get(
    "/folder-grants",
    summary="List with whom folders are shared",
    operation_id="listFolderGrants",
    description="Of all folders, unless one is named. Whoever got a grant sees their own only.",
    response_model=GrantPage,
    responses=answers(NotFoundError, example={"items": [examples.FOLDER_GRANT], "next_cursor": None}),
)
async def list_folder_grants(
    request: Request,
    services: Services,
    folder: Annotated[FilePath | None, Query(description="Only of this folder.", examples=["data/shared"])] = None,
    owner: Name = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    page = await services.sharing().folder_grants(folder, owner, limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.get(
    "/folder-grants/{grantee}",
    summary="Show what somebody may do with a folder",
    operation_id="getFolderGrant",
    response_model=Grant,
    responses=answers(NotFoundError, example=examples.FOLDER_GRANT),
)
async def get_folder_grant(grantee: Whom, services: Services, folder: Folder, owner: Name = None) -> Response:
    return json_answer(await services.sharing().folder_grant(folder, owner, grantee))


@router.put(
    "/folder-grants/{grantee}",
    summary="Share a folder",
    operation_id="shareFolder",
    description="For its owner and admins of the site. Said again it replaces what was said before.",
    status_code=201,
    response_model=Grant,
    responses=answers(NotFoundError, OverQuotaError, example=examples.FOLDER_GRANT, status=201, more=_CHANGED),
)
async def share_folder(grantee: Whom, services: Services, folder: Folder, wish: Wish, owner: Name = None) -> Response:
    asked_at = now()
    grant = await services.sharing().share_folder(folder, owner, grantee, wish.right, wish.expires_at)
    return _show(grantee, grant, asked_at)


@router.delete(
    "/folder-grants/{grantee}",
    summary="Share a folder no more",
    operation_id="unshareFolder",
    description="It is over at once; URLs that were given out are good for at most 15 minutes.",
    status_code=204,
    response_model=None,
    responses=answers(NotFoundError, more=_PENDING),
)
async def unshare_folder(grantee: Whom, services: Services, folder: Folder, owner: Name = None) -> Response:
    done = await services.sharing().unshare_folder(folder, owner, grantee)
    return Response(status_code=204) if done else _pending(grantee)


@router.get(
    "/shared",
    summary="List what others share with you",
    operation_id="listShared",
    description="With you, your projects and the token you came with: jobs first, then folders, each newest first.",
    response_model=GrantPage,
    responses=answers(example={"items": [examples.GRANT, examples.FOLDER_GRANT], "next_cursor": None}),
)
async def list_shared(
    request: Request,
    services: Services,
    kind: Annotated[Literal["job", "folder"] | None, Query(description="Only those.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    page = await services.sharing().received(kind, limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


def _show(grantee: str, grant: Grant | None, asked_at: datetime) -> Response:
    """Answer a share; one that is older than the request was there before. Clocks that disagree harm nobody."""
    if grant is None:
        return _pending(grantee)
    return json_answer(grant, status=201 if grant.created_at >= asked_at else 200)


def _pending(grantee: str) -> Response:
    return json_answer(Pending(id=grantee), status=202, headers={"Retry-After": "1"})
