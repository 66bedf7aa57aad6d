"""`/v1/tokens`: minted, narrowed by their holders, looked into, revoked; and `/v1/login`."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Body, Path, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import Response

from contracts.envelope import Context
from contracts.errors import InvalidError, NotFoundError
from contracts.identity import (
    Inspection,
    InspectionWish,
    LoginWish,
    MintedToken,
    Revocation,
    RevocationWish,
    RootKeys,
    TokenId,
    TokenPage,
    TokenRecord,
    TokenWish,
)
from services.gateway.bodies import FORM_TYPE
from services.gateway.callers import TRACE
from services.gateway.guard.addresses import address_of
from services.gateway.identity.tokens import login
from services.gateway.lean import Router

from . import identity_examples as examples
from .answers import answers, json_answer
from .context import Cursor, Limit, Name, Services, process_of
from .pages import next_link
from .parameters import refuse_unknown

__all__ = ["router"]

router = Router(prefix="/v1", tags=["identity"])

TokenAt = Annotated[
    TokenId, Path(description="The token's identifier.", examples=["tok-6ed2b74d5bf54bde3b8382e768a33019"])
]

_SCHEMA = {"$ref": "#/components/schemas/LoginWish"}
_LOGIN: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _SCHEMA, "examples": examples.LOGINS},
            FORM_TYPE.decode(): {"schema": _SCHEMA, "examples": examples.LOGINS},
        },
    }
}
_SECRET = {"Cache-Control": "no-store"}


@router.post(
    "/login",
    summary="Get a token for a name and a password",
    description="As JSON or as a form. The token has all of the user's power; narrow it before you hand it on.",
    operation_id="login",
    status_code=201,
    response_model=MintedToken,
    openapi_extra=_LOGIN,
    responses=answers(example=examples.MINTED, status=201),
)
async def post_login(request: Request) -> Response:
    refuse_unknown(request)
    wish = await _read_login(request)
    context = Context.start(f"user:{wish.username}", traceparent=request.scope[TRACE])
    process = process_of(request)
    async with process.guard.guesses.of_password(address_of(request.scope), wish.username):
        minted = await login(process.identity, context, wish.username, wish.password.get_secret_value())
    return json_answer(minted, status=201, headers=_SECRET)


async def _read_login(request: Request) -> LoginWish:
    raw = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind.encode() != FORM_TYPE:
            return LoginWish.model_validate_json(raw)
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=16, errors="strict")
        if len(dict(pairs)) != len(pairs):
            raise InvalidError.of("body", "names a field twice")
        return LoginWish.model_validate(dict(pairs))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None
    except (UnicodeDecodeError, ValueError):
        raise InvalidError.of("body", "is no form") from None


@router.get(
    "/tokens/keys",
    summary="Show the public keys by which tokens are checked and narrowed",
    description="For everybody, without credentials.",
    operation_id="getTokenKeys",
    response_model=RootKeys,
    responses=answers(example=examples.ROOT_KEYS),
)
async def get_keys(request: Request) -> Response:
    refuse_unknown(request)
    published = process_of(request).identity.signer.published()
    return json_answer(published, headers={"Cache-Control": "public, max-age=300"})


@router.post(
    "/tokens",
    summary="Mint a token with some of one's own power",
    description="It is shown once. A token cannot mint tokens: whoever holds one narrows it, without asking us.",
    operation_id="mintToken",
    status_code=201,
    response_model=MintedToken,
    responses=answers(example=examples.MINTED, status=201),
)
async def post_token(
    wish: Annotated[TokenWish, Body(openapi_examples=examples.TOKEN_WISHES)], services: Services
) -> Response:
    minted = await services.tokens().mint(wish)
    return json_answer(minted, status=201, headers={"Location": f"/v1/tokens/{minted.id}", **_SECRET})


@router.get(
    "/tokens",
    summary="List tokens, newest first: one's own, or for admins and auditors anybody's",
    operation_id="listTokens",
    response_model=TokenPage,
    responses=answers(example={"items": [examples.TOKEN], "next_cursor": None}),
)
async def list_tokens(
    request: Request, services: Services, owner: Name = None, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    page = await services.tokens().page(owner=owner, limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.post(
    "/tokens/inspect",
    summary="Look into a token",
    operation_id="inspectToken",
    response_model=Inspection,
    responses=answers(example=examples.INSPECTION),
)
async def inspect_token(
    wish: Annotated[InspectionWish, Body(openapi_examples=examples.INSPECTING)], services: Services
) -> Response:
    return json_answer(services.tokens().inspect(wish.token.get_secret_value()), headers=_SECRET)


@router.post(
    "/tokens/revocations",
    summary="Revoke one block of a token, and what was made from it",
    description="The last block of a token that is shown, by its owner; a block by its id, by admins of the site.",
    operation_id="revokeBlock",
    response_model=Revocation,
    responses=answers(example=examples.REVOCATION),
)
async def post_revocation(
    wish: Annotated[RevocationWish, Body(openapi_examples=examples.REVOKING)], services: Services
) -> Response:
    return json_answer(await services.tokens().revoke_block(wish))


@router.get(
    "/tokens/{token_id}",
    summary="Show a token, not what opens the door",
    operation_id="getToken",
    response_model=TokenRecord,
    responses=answers(NotFoundError, example=examples.TOKEN),
)
async def get_token(token_id: TokenAt, services: Services) -> Response:
    return json_answer(await services.tokens().get(token_id))


@router.delete(
    "/tokens/{token_id}",
    summary="Revoke a token, and whatever was made from it",
    operation_id="revokeToken",
    status_code=204,
    response_model=None,
    responses=answers(NotFoundError),
)
async def delete_token(token_id: TokenAt, services: Services) -> Response:
    await services.tokens().revoke(token_id)
    return Response(status_code=204)
