"""`/v1/mail`: whether one gets mail about jobs; and the page behind the link in each mail."""

from __future__ import annotations

from html import escape
from typing import Annotated

from fastapi import Body, Query, Request
from starlette.responses import HTMLResponse, Response

from contracts.mail import MailRefusal, MailStanding, MailWish
from services.gateway.callers import TRACE
from services.gateway.lean import Router
from services.gateway.mail import OptOut

from . import mail_examples as examples
from .answers import answers, json_answer
from .context import Services, process_of
from .parameters import refuse_unknown
from .views import Pending

__all__ = ["router"]

router = Router(prefix="/v1/mail", tags=["mail"])

Ticket = Annotated[
    str,
    Query(
        min_length=1,
        max_length=2048,
        pattern=r"^[A-Za-z0-9._=-]+$",
        description="As it stands in the link of a mail.",
        examples=["eyJhZGRyZXNzIjoiYWRhQGV4YW1wbGUub3JnIn0.aXzH6A.c2lnbmF0dXJl"],
    ),
]

_PENDING = {202: ("The scheduler is away; the command is kept and will be handled.", Pending)}
_HTML = answers(media_type="text/html", example=examples.PAGE)


@router.get(
    "",
    summary="Show whether one gets mail, and where",
    operation_id="getMail",
    response_model=MailStanding,
    responses=answers(example=examples.STANDING),
)
async def get_mail(services: Services) -> Response:
    return json_answer(await services.mail().get())


@router.put(
    "",
    summary="Get no mail about one's jobs, or get it again",
    description="Getting it again also takes back what the link in a mail to one's own address said.",
    operation_id="putMail",
    response_model=MailStanding,
    responses=answers(example=examples.STANDING, more=_PENDING),
)
async def put_mail(wish: Annotated[MailWish, Body(openapi_examples=examples.WISHES)], services: Services) -> Response:
    found = await services.mail().wish(opted_out=wish.opted_out)
    if found is None:
        return json_answer(Pending(id="mail"), status=202, headers={"Retry-After": "1"})
    return json_answer(found)


@router.get(
    "/opt-out",
    summary="Show the page behind the link in a mail; it changes nothing by itself",
    description="Needs no credentials.",
    operation_id="showOptOut",
    response_model=None,
    responses=_HTML,
)
async def show_opt_out(request: Request, ticket: Ticket) -> Response:
    refuse_unknown(request)
    found = await _opt_out(request).read(ticket)
    return _page(_said(found) if found.refused else _asked(found))


@router.post(
    "/opt-out",
    summary="Send nothing more to the address of a mail's link",
    description="Needs no credentials. Mail programs send it with a form as body (RFC 8058), which is not read.",
    operation_id="optOut",
    response_model=None,
    responses=_HTML,
)
async def post_opt_out(request: Request, ticket: Ticket) -> Response:
    refuse_unknown(request)
    found = await _opt_out(request).refuse(ticket)
    return _page("<p>This will be done in a moment." if found is None else _said(found))


def _opt_out(request: Request) -> OptOut:
    process = process_of(request)
    wait = max(process.settings.submit_wait, 1.0)
    return OptOut(bus=process.bus, traceparent=request.scope[TRACE], wait=wait)


def _asked(found: MailRefusal) -> str:
    # A GET alone must do nothing: programs that look at mail follow its links.
    button = "<form method=post><button>No more mail</button></form>"
    return f"<p>Shall no more mail be sent to {escape(found.address)}?{button}"


def _said(found: MailRefusal) -> str:
    again = "Whose address it is here can have it again: <code>shunter mail on</code>."
    return f"<p>No more mail is sent to {escape(found.address)}.<p>{again}"


def _page(content: str) -> Response:
    text = f"<!doctype html><html lang=en><meta charset=utf-8><title>Mail</title>{content}</html>"
    return HTMLResponse(text, headers={"Cache-Control": "no-store"})
