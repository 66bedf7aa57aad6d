"""The other routes: logs, scripts, callbacks, backends, tokens."""

from __future__ import annotations

import hmac
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import PlainTextResponse, Response

from contracts.errors import ForbiddenError, InvalidError, NotFoundError, UnauthenticatedError
from services.gateway.api.context import process_of
from services.gateway.auth.desk import TokenDesk
from services.gateway.dialects.details import json_body
from services.gateway.lean import Router

from .logs import read_logs
from .models import Callback, ErrorStatus, SystemStatus
from .names import SEALED
from .routes import declare
from .spec import script_of
from .visits import BackendName, Visiting

__all__ = ["more_router"]

_Signature = Annotated[str | None, Header(alias="x-hub-signature-256", max_length=256)]
_MOST_TOKEN = 32 * 1024


async def get_logs(jobid: str, visit: Visiting, backend: BackendName = None) -> Response:
    """Read the output of all runs: `stdout.1`, `stderr.1`, `stdout.2` and so on."""
    chain = await visit.chain(jobid, backend)
    return json_body(await read_logs(visit.services, chain, most=int(visit.desk.settings.most_log)))


async def get_scripts(jobid: str, visit: Visiting, backend: BackendName = None) -> Response:
    """Show the script as it was sent and as it runs, and how our own API is asked for the same."""
    chain = await visit.chain(jobid, backend)
    spec = (await visit.services.jobs().get(chain.last.id)).spec
    native = chain.last.id
    return json_body(
        {
            "job": spec.script or "",
            "run": script_of(spec),
            "submit": f"shunter start {native}\n",
            "cancel": f"shunter cancel {native}\n",
        }
    )


async def do_callback(
    callback: Callback, request: Request, visit: Visiting, signature: _Signature = None, backend: BackendName = None
) -> Response:
    """Hear what somebody says of a job. It moves nothing: the answer says whether it is so."""
    chain = await visit.chain(callback.jobid, backend)
    if sealed := chain.runs[0].labels.get(SEALED):
        if signature is None:
            raise ForbiddenError("x-hub-signature-256 header is missing!")
        secret = visit.seal.open(sealed, callback.jobid)
        if secret is None or not _is_signed(await request.body(), secret, signature):
            raise ForbiddenError("the signature is not valid")
    said = (callback.jobndx, callback.state)
    known = any((step.jobndx, step.state) == said for step in await visit.jobs.history(chain))
    return json_body(ErrorStatus.OK if known else ErrorStatus.ERROR)


def _is_signed(body: bytes, secret: bytes, signature: str) -> bool:
    wanted = "sha256=" + hmac.new(secret, body, sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())


async def list_backends(visit: Visiting, name: Annotated[str | None, Query(max_length=256)] = None) -> Response:
    """Show how the backends fare, or one of them."""
    found = await visit.desk.backends.statuses(visit.services.site().backends)
    if name is not None and name not in found:
        raise NotFoundError("Item not found")
    wanted = found if name is None else {name: found[name]}
    return json_body({key: status.model_dump(mode="json") for key, status in wanted.items()})


async def get_backend(name: Annotated[str, Path(max_length=256)], visit: Visiting) -> Response:
    """Show how a backend fares."""
    found = await visit.desk.backends.statuses(visit.services.site().backends)
    if name not in found:
        raise NotFoundError("Item not found")
    return json_body(found[name].model_dump(mode="json"))


async def get_token(request: Request, visit: Visiting) -> Response:
    """Get a token that says who asks. Its holder can make it weaker without us and hand it on."""
    lifetime = timedelta(seconds=visit.desk.settings.token_lifetime)
    return PlainTextResponse(await _token_desk(request).mint(visit.services.caller.passport, lifetime))


async def show_token(request: Request) -> Response:
    """Show what is written in the token that comes with the request; whether it is good here is not asked."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise UnauthenticatedError("send the token that is meant: `Authorization: Bearer …`")
    desk = _token_desk(request)
    if len(text) > _MOST_TOKEN:
        raise UnauthenticatedError("this is no token: it is too long")
    try:
        return json_body({"blocks": desk.inspect(text.strip())})
    except InvalidError as error:
        raise UnauthenticatedError(f"this is no token: {error.detail}") from error


def _token_desk(request: Request) -> TokenDesk:
    desk = process_of(request).tokens
    if desk is None:
        raise ForbiddenError("this site gives out no tokens")
    return desk


def more_router() -> APIRouter:
    """Return the routes."""
    router = Router()
    add = partial(declare, router)
    texts, statuses = dict[str, str], dict[str, SystemStatus]
    jobs, backends, auth = ["jobs"], ["backends"], ["auth"]
    plain = {200: {"description": "The token.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    logs, scripts = "/jobs/{jobid}/logs", "/jobs/{jobid}/scripts"
    add("POST", "/jobs/callback", do_callback, answer=ErrorStatus, summary="Report a state of a job", tags=jobs)
    add("GET", logs, get_logs, answer=texts, twin=True, summary="Read the logs", tags=jobs)
    add("GET", scripts, get_scripts, answer=texts, twin=True, summary="Show the scripts", tags=jobs)
    add("GET", "/backends", list_backends, answer=statuses, twin=True, summary="Show all backends", tags=backends)
    add("GET", "/backends/{name}", get_backend, answer=SystemStatus, summary="Show a backend", tags=backends)
    add("GET", "/token", get_token, summary="Get a token", responses=plain, tags=auth)
    add("POST", "/token", show_token, summary="Show what is written in a token", tags=auth)
    return router
