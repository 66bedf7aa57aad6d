"""`/v1/users`: whom the site knows, and who is shut out."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

from fastapi import Body, Header, Path, Request
from starlette.responses import Response

from contracts.errors import ConflictError, InvalidError, NotFoundError
from contracts.identity import DisableWish, PasswordWish, Subject, User, UserPage, UserWish
from services.gateway.guard.addresses import address_of
from services.gateway.lean import Router

from . import identity_examples as examples
from .answers import answers, json_answer
from .conditional import revision_of, revision_tag
from .context import Cursor, Limit, Services, process_of
from .pages import next_link

__all__ = ["IfMatch", "SubjectAt", "read_if_match", "router"]

router = Router(prefix="/v1/users", tags=["identity"])

SubjectAt = Annotated[Subject, Path(description="The user's identifier.", examples=["ada"])]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="Only if it has still this `ETag`.", examples=['"1"'])
]


def read_if_match(text: str | None) -> int | None:
    """Return the revision that a change is meant for, none where any will do."""
    revision = revision_of(text)
    if text is not None and text.strip() != "*" and revision is None:
        raise InvalidError.of("If-Match", "must be an ETag")
    return revision


@router.get(
    "",
    summary="List users, by subject: oneself, or for admins and auditors all",
    operation_id="listUsers",
    response_model=UserPage,
    responses=answers(example={"items": [examples.USER], "next_cursor": None}),
)
async def list_users(request: Request, services: Services, limit: Limit = 100, cursor: Cursor = None) -> Response:
    page = await services.users().page(limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.get(
    "/{subject}",
    summary="Show what the site has written down of a user",
    operation_id="getUser",
    response_model=User,
    responses=answers(NotFoundError, example=examples.USER),
)
async def get_user(subject: SubjectAt, services: Services) -> Response:
    return _show(await services.users().get(subject))


@router.put(
    "/{subject}",
    summary="Write down what is to be known of a user",
    description="What their way in says of them (projects, roles) stays; this comes to it. For admins of the site.",
    operation_id="putUser",
    response_model=User,
    responses=answers(
        *(NotFoundError, ConflictError),
        example=examples.USER,
        more={201: ("Nothing was known of them before.", User)},
    ),
)
async def put_user(
    subject: SubjectAt,
    wish: Annotated[UserWish, Body(openapi_examples=examples.USER_WISHES)],
    services: Services,
    if_match: IfMatch = None,
) -> Response:
    user, created = await services.users().put(subject, wish, read_if_match(if_match))
    return _show(user, status=201 if created else 200)


@router.post(
    "/{subject}/disable",
    summary="Shut a user out, at once and whatever they show",
    description="The next request is refused (401), and what still streams to them ends. For admins of the site.",
    operation_id="disableUser",
    response_model=User,
    responses=answers(NotFoundError, ConflictError, example={**examples.USER, "disabled": True}),
)
async def disable_user(
    subject: SubjectAt,
    services: Services,
    wish: Annotated[DisableWish | None, Body(openapi_examples=examples.DISABLING)] = None,
) -> Response:
    return _show(await services.users().disable(subject, wish.reason if wish else ""))


@router.post(
    "/{subject}/enable",
    summary="Let a user in again",
    operation_id="enableUser",
    response_model=User,
    responses=answers(NotFoundError, example=examples.USER),
)
async def enable_user(subject: SubjectAt, services: Services) -> Response:
    return _show(await services.users().enable(subject))


@router.put(
    "/{subject}/password",
    summary="Give a user another password",
    description="One's own with the present one, if there is one; admins of the site anybody's. Never with a token.",
    operation_id="setPassword",
    response_model=User,
    responses=answers(NotFoundError, example=examples.USER),
)
async def put_password(
    subject: SubjectAt,
    wish: Annotated[PasswordWish, Body(openapi_examples=examples.PASSWORDS)],
    services: Services,
    request: Request,
) -> Response:
    guard = process_of(request).guard.guesses.of_password(address_of(request.scope), subject)
    async with guard if wish.current else nullcontext():
        return _show(await services.users().set_password(subject, wish))


def _show(user: User, *, status: int = 200) -> Response:
    return json_answer(user, status=status, headers={"ETag": revision_tag(user.revision)})
