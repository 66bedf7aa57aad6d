"""`/user`, `/token`, `/login`, `/access_info`: who one is, and in development mode how one becomes somebody."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from contracts.envelope import Context
from contracts.errors import InvalidError, UnauthenticatedError
from services.gateway.api.context import process_of
from services.gateway.auth.passport import Passport
from services.gateway.callers import TRACE
from services.gateway.dialects.decode_worker.settings import DecodeWorkerSettings
from services.gateway.dialects.decode_worker.visits import SERVICE as WORKERS_SERVICE
from services.gateway.dialects.details import json_body
from services.gateway.guard.addresses import address_of
from services.gateway.identity.signing_up import is_name, sign_up
from services.gateway.identity.store import find_user
from services.gateway.identity.tokens import login
from services.gateway.lean import Router
from services.gateway.leases import greet

from .groups import Group, groups_of
from .models import LoggedIn, TokenResponse, User
from .routes import declare
from .settings import DecodeSettings
from .visits import Visiting, settings_of

__all__ = ["access_router", "sign_up_router"]

_SECRET = {"Cache-Control": "no-store"}
_WELCOME = "Welcome to the DECODE OpenCloud User-facing API"
_LOGGED_IN = "You've successfully logged in. Welcome back!"

_Username = Annotated[str, Form(max_length=256)]
_Password = Annotated[str, Form(max_length=1024)]
_GrantType = Annotated[str | None, Form(pattern="password")]
_Groups = Annotated[list[Group] | None, Form(description="What they are there for; by default users.")]
_Passed = Annotated[str | None, Form(description="Taken for other software's sake, and passed over.")]


@dataclass(frozen=True, slots=True)
class _Credentials:
    username: str
    password: str = field(repr=False)


def _credentials(
    username: _Username,
    password: _Password,
    grant_type: _GrantType = None,  # noqa: ARG001 (checked as a form's field)
    scope: _Passed = None,  # noqa: ARG001
    client_id: _Passed = None,  # noqa: ARG001
    client_secret: _Passed = None,  # noqa: ARG001
) -> _Credentials:
    return _Credentials(username, password)


_Known = Annotated[_Credentials, Depends(_credentials)]


async def root() -> Response:
    """Say what this is."""
    return json_body(_WELCOME)


async def get_access_info(request: Request) -> Response:
    """Say where users log in."""
    return json_body({"cognito": settings_of(request).access.model_dump()})


async def describe_current_user(visit: Visiting) -> Response:
    """Say who one is."""
    return json_body({"email": visit.email, "groups": visit.groups})


async def register_user(request: Request, known: _Known, groups: _Groups = None) -> Response:
    """Make a user."""
    settings, wanted = settings_of(request), groups or [Group.USERS]
    username, password = known.username, known.password
    if len(password) < settings.shortest_password:
        raise HTTPException(400, "Password does not meet requirements")
    if missing := [group for group in wanted if group not in settings.groups]:
        raise InvalidError(f"this site has no group {missing[0]}")
    projects = [settings.groups[group] for group in dict.fromkeys(wanted)]
    await sign_up(process_of(request).identity, _context(request, username), username, password, projects=projects)
    return json_body({"email": username, "groups": list(dict.fromkeys(wanted))}, status=201)


async def get_token(request: Request, known: _Known) -> Response:
    """Get a token for a name and a password."""
    settings = settings_of(request)
    token = await _log_in(request, known, settings)
    answer = json_body({"id_token": token, "expires_in": round(settings.token_lifetime)}, status=201)
    answer.headers.update(_SECRET)
    return answer


async def get_login(request: Request, known: _Known) -> Response:
    """Do the same, and get the token as a cookie for scripts of a page to read nothing of."""
    settings = settings_of(request)
    token = await _log_in(request, known, settings)
    answer = json_body({"message": _LOGGED_IN})
    answer.set_cookie(
        "Authorization",
        f"Bearer {token}",
        max_age=settings.cookie_lifetime,
        httponly=True,
        secure=True,
        samesite="none",
    )
    answer.headers.update(_SECRET)
    return answer


async def _log_in(request: Request, known: _Credentials, settings: DecodeSettings) -> str:
    username, password = known.username, known.password
    process, lifetime = process_of(request), timedelta(seconds=settings.token_lifetime)
    try:
        async with process.guard.guesses.of_password(address_of(request.scope), username):
            context = _context(request, username)
            token = (await login(process.identity, context, username, password, lifetime=lifetime)).token
    except UnauthenticatedError as error:
        raise await _why_not(request, username) from error
    await _greet(request, username, settings)
    return token


async def _greet(request: Request, username: str, settings: DecodeSettings) -> None:
    """Have jobs wait for a worker who has logged in: it asks for work in a moment."""
    process = process_of(request)
    register = process.identity.register
    principal = register.admit(Passport(register.named(username), "password")).principal
    backend = DecodeWorkerSettings.model_validate(process.settings.dialects.get(WORKERS_SERVICE, {})).backend
    wanted = any(backend in place.backends for place in settings.environments.values())
    if wanted and Group.WORKERS in groups_of(principal, settings.groups):
        await greet(process.bus, principal, _context(request, username), backend)


async def _why_not(request: Request, username: str) -> HTTPException:
    """Return what is wrong: anybody may know who there is, where anybody can make themselves a user."""
    known = None
    if is_name(username):
        async with process_of(request).identity.unit.looking_up() as connection:
            known = await find_user(connection, username)
    return HTTPException(400, "Incorrect email or password") if known else HTTPException(404, "User not found")


def _context(request: Request, username: str) -> Context:
    return Context.start(f"user:{username}", traceparent=request.scope[TRACE])


def access_router() -> APIRouter:
    """Return the routes that every site has."""
    router = Router()
    info = dict[str, dict[str, str]]
    tags = ["Authentication"]
    declare(router, "GET", "/", root, answer=str, summary="Say what this is", tags=["Root"])
    declare(router, "GET", "/access_info", get_access_info, answer=info, summary="Show where users log in", tags=tags)
    declare(router, "GET", "/user", describe_current_user, answer=User, summary="Show who one is", tags=tags)
    return router


def sign_up_router() -> APIRouter:
    """Return the routes of development mode."""
    router = Router(tags=["Authentication"])
    plain: dict[str, Any] = {"answer": TokenResponse, "status": 201}
    declare(router, "POST", "/user", register_user, answer=User, status=201, summary="Make a user")
    declare(router, "POST", "/token", get_token, summary="Get a token", **plain)
    declare(router, "POST", "/login", get_login, answer=LoggedIn, summary="Get a token as a cookie")
    return router
