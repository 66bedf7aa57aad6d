"""A lean route does what FastAPI's own would, and only where that is so."""

from __future__ import annotations

from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from services.gateway.api import jobs
from services.gateway.dialects.decode.job_routes import job_router
from services.gateway.lean import LeanRoute, is_lean


class _Wish(BaseModel):
    name: str


async def _visitor(request: Request) -> str:
    if "who" not in request.headers:
        raise HTTPException(401, "who are you?")
    return request.headers["who"]


async def _nobody() -> str:
    return "nobody"


def _blocking() -> str:
    return "blocks"


Visitor = Annotated[str, Depends(_visitor)]


async def head_only(
    request: Request,
    visitor: Visitor,
    nobody: Annotated[str, Depends(_nobody)],
    number: Annotated[int, Path(ge=1)],
    limit: Annotated[int, Query(le=10)] = 5,
    word: Annotated[list[str], Query(max_length=2)] = [],  # noqa: B006 (FastAPI copies it)
    since: Annotated[str | None, Header(alias="Since-When", pattern="^[0-9]+$")] = None,
) -> Response:
    return JSONResponse([request.url.path, visitor, nobody, number, limit, word, since])


async def with_body(visitor: Visitor, wish: _Wish) -> Response:
    return JSONResponse([visitor, wish.name])


async def with_model(visitor: Visitor) -> _Wish:
    return _Wish(name=visitor)


async def with_blocking(word: Annotated[str, Depends(_blocking)]) -> Response:
    return JSONResponse(word)


def blocking(visitor: Visitor) -> Response:
    return JSONResponse(visitor)


def _client(kind: type[APIRoute]) -> httpx.AsyncClient:
    app = FastAPI()
    router = APIRouter(route_class=kind)
    router.add_api_route("/things/{number}", head_only, methods=["GET"])
    router.add_api_route("/things", with_body, methods=["POST"])
    app.router.routes.extend(router.routes)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here", headers={"who": "ann"})


@pytest.mark.parametrize(
    ("method", "target", "more"),
    [
        ("GET", "/things/3", {}),
        ("GET", "/things/3?limit=9&word=a&word=b", {"headers": {"Since-When": "12"}}),
        ("GET", "/things/0", {}),
        ("GET", "/things/x?limit=11&word=a&word=b&word=c", {"headers": {"Since-When": "long ago"}}),
        ("GET", "/things/3", {"headers": {"who": ""}}),
        ("DELETE", "/things/3", {}),
        ("GET", "/other", {}),
        ("POST", "/things", {"json": {"name": "x"}}),
        ("POST", "/things", {"json": {}}),
    ],
)
async def test_it_answers_as_fastapi_does(method: str, target: str, more: dict[str, object]) -> None:
    async with _client(LeanRoute) as lean, _client(APIRoute) as usual:
        ours = await lean.request(method, target, **more)  # type: ignore[arg-type]
        theirs = await usual.request(method, target, **more)  # type: ignore[arg-type]
    assert (ours.status_code, ours.content, ours.headers) == (theirs.status_code, theirs.content, theirs.headers)


async def test_who_is_not_let_in_is_told_so_before_what_else_is_wrong() -> None:
    async with _client(LeanRoute) as client:
        del client.headers["who"]
        assert (await client.get("/things/0")).status_code == 401


def test_only_what_needs_nothing_else_is_lean() -> None:
    functions = (head_only, with_body, with_model, with_blocking, blocking)
    lean = [one.__name__ for one in functions if is_lean(LeanRoute("/{number}", one).dependant)]
    assert lean == ["head_only"]


def test_the_routes_that_are_asked_most_are_lean() -> None:
    routes = [route for route in (*jobs.router.routes, *job_router().routes) if isinstance(route, LeanRoute)]
    lean = {(method, route.path) for route in routes if is_lean(route.dependant) for method in route.methods or ()}
    assert lean >= {("POST", "/v1/jobs"), ("GET", "/v1/jobs/{job_id}"), ("POST", "/jobs"), ("GET", "/jobs/{job_id}")}
