"""`/v1/projects`: projects that were made here, and who is in them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Path, Request
from starlette.responses import Response

from contracts.errors import ConflictError, NotFoundError
from contracts.identity import Member, MemberPage, MemberWish, Project, ProjectPage, ProjectWish
from contracts.spec import ProjectName
from services.gateway.lean import Router

from . import identity_examples as examples
from .answers import answers, json_answer
from .conditional import revision_tag
from .context import Cursor, Limit, Services
from .pages import next_link
from .users import IfMatch, SubjectAt, read_if_match

__all__ = ["router"]

router = Router(prefix="/v1/projects", tags=["identity"])

NameAt = Annotated[ProjectName, Path(description="The project's name.", examples=["vision"])]


@router.get(
    "",
    summary="List projects, by name: one's own, or for admins and auditors all",
    operation_id="listProjects",
    response_model=ProjectPage,
    responses=answers(example={"items": [examples.PROJECT], "next_cursor": None}),
)
async def list_projects(request: Request, services: Services, limit: Limit = 100, cursor: Cursor = None) -> Response:
    page = await services.projects().page(limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.get(
    "/{name}",
    summary="Show a project",
    operation_id="getProject",
    response_model=Project,
    responses=answers(NotFoundError, example=examples.PROJECT),
)
async def get_project(name: NameAt, services: Services) -> Response:
    return _show(await services.projects().get(name))


@router.put(
    "/{name}",
    summary="Make a project, or give it another title",
    description="For admins of the site.",
    operation_id="putProject",
    response_model=Project,
    responses=answers(ConflictError, example=examples.PROJECT, more={201: ("It is new.", Project)}),
)
async def put_project(
    name: NameAt,
    wish: Annotated[ProjectWish, Body(openapi_examples=examples.PROJECT_WISHES)],
    services: Services,
    if_match: IfMatch = None,
) -> Response:
    project, created = await services.projects().put(name, wish, read_if_match(if_match))
    return _show(project, status=201 if created else 200)


@router.delete(
    "/{name}",
    summary="Forget a project and who was in it",
    description="What was billed to it stays billed. For admins of the site.",
    operation_id="deleteProject",
    status_code=204,
    response_model=None,
    responses=answers(NotFoundError),
)
async def delete_project(name: NameAt, services: Services) -> Response:
    await services.projects().delete(name)
    return Response(status_code=204)


@router.get(
    "/{name}/members",
    summary="List who is in a project, by subject",
    description="For admins of the project and of the site. Whom only their way in puts there is not listed.",
    operation_id="listMembers",
    response_model=MemberPage,
    responses=answers(NotFoundError, example={"items": [examples.MEMBER], "next_cursor": None}),
)
async def list_members(
    request: Request, name: NameAt, services: Services, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    page = await services.projects().members(name, limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.put(
    "/{name}/members/{subject}",
    summary="Let somebody be in a project",
    description="For admins of the project and of the site.",
    operation_id="putMember",
    response_model=Member,
    responses=answers(NotFoundError, example=examples.MEMBER),
)
async def put_member(
    name: NameAt,
    subject: SubjectAt,
    wish: Annotated[MemberWish, Body(openapi_examples=examples.MEMBER_WISHES)],
    services: Services,
) -> Response:
    return json_answer(await services.projects().set_member(name, subject, wish.level))


@router.delete(
    "/{name}/members/{subject}",
    summary="Take somebody out of a project",
    description="For admins of the project and of the site.",
    operation_id="deleteMember",
    status_code=204,
    response_model=None,
    responses=answers(NotFoundError),
)
async def delete_member(name: NameAt, subject: SubjectAt, services: Services) -> Response:
    await services.projects().end_membership(name, subject)
    return Response(status_code=204)


def _show(project: Project, *, status: int = 200) -> Response:
    return json_answer(project, status=status, headers={"ETag": revision_tag(project.revision)})
