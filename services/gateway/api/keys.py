"""`/v1/keys`: key pairs that sign requests."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Path, Request
from starlette.responses import Response

from contracts.errors import NotFoundError
from contracts.identity import KeyPairPage, KeyPairWish, MadeKeyPair
from services.gateway.lean import Router

from . import identity_examples as examples
from .answers import answers, json_answer
from .context import Cursor, Limit, Name, Services
from .pages import next_link

__all__ = ["router"]

router = Router(prefix="/v1/keys", tags=["identity"])

KeyAt = Annotated[
    str,
    Path(pattern=r"^[A-Za-z0-9_-]{8,64}$", description="The access key.", examples=["SHK0193E7A4C2D87B1E9F5A"]),
]


@router.post(
    "",
    summary="Make a key pair with all of one's own power",
    description="The secret is shown once. Never with a token.",
    operation_id="makeKey",
    status_code=201,
    response_model=MadeKeyPair,
    responses=answers(example=examples.MADE_KEY, status=201),
)
async def post_key(
    wish: Annotated[KeyPairWish, Body(openapi_examples=examples.KEY_WISHES)], services: Services
) -> Response:
    return json_answer(await services.key_pairs().make(wish), status=201, headers={"Cache-Control": "no-store"})


@router.get(
    "",
    summary="List key pairs: one's own, or for admins and auditors anybody's",
    operation_id="listKeys",
    response_model=KeyPairPage,
    responses=answers(example={"items": [examples.KEY], "next_cursor": None}),
)
async def list_keys(
    request: Request, services: Services, owner: Name = None, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    page = await services.key_pairs().page(owner=owner, limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.delete(
    "/{access_key}",
    summary="Let a key pair be worth nothing any more",
    operation_id="deleteKey",
    status_code=204,
    response_model=None,
    responses=answers(NotFoundError),
)
async def delete_key(access_key: KeyAt, services: Services) -> Response:
    await services.key_pairs().delete(access_key)
    return Response(status_code=204)
