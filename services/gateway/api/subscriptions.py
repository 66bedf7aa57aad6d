"""`/v1/subscriptions`: events that are sent to a URL."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Header, Path, Request
from starlette.responses import Response

from contracts.errors import ConflictError, InvalidError, MismatchError, NotFoundError, OverQuotaError, TooLargeError
from contracts.hook_queries import SubscriptionPage
from contracts.subscriptions import Delivery, Subscription, SubscriptionSpec
from services.gateway.lean import Router

from . import hook_examples as examples
from .answers import answers, json_answer
from .conditional import revision_of, revision_tag
from .context import Cursor, Limit, Name, Services
from .pages import next_link
from .preferences import read_idempotency_key, read_preference
from .views import Pending

__all__ = ["router"]

router = Router(prefix="/v1/subscriptions", tags=["webhooks"])

_PENDING = {202: ("The scheduler is away; the command is kept and will be handled.", Pending)}
_KEY = Header(alias="Idempotency-Key", description="The same key and request twice make one.", examples=["ci-bot"])
_PREFER = Header(alias="Prefer", description="`wait=N` (seconds) or `respond-async` (RFC 7240).", examples=["wait=5"])

SubscriptionAt = Annotated[
    str,
    Path(
        pattern=r"^sub-[0-9a-f]{32}$",
        description="The subscription's identifier.",
        examples=["sub-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"],
    ),
]


@router.post(
    "",
    summary="Have events sent to a URL",
    operation_id="createSubscription",
    status_code=201,
    response_model=Subscription,
    responses=answers(
        *(ConflictError, MismatchError, OverQuotaError, TooLargeError),
        example=examples.SUBSCRIPTION,
        status=201,
        more={200: ("The key was used before, for the same request: this is what it made.", Subscription), **_PENDING},
    ),
)
async def post_subscription(
    spec: Annotated[SubscriptionSpec, Body(openapi_examples=examples.SUBSCRIPTIONS)],
    services: Services,
    idempotency_key: Annotated[str | None, _KEY] = None,
    prefer: Annotated[str | None, _PREFER] = None,
) -> Response:
    key, preference = read_idempotency_key(idempotency_key), read_preference(prefer)
    subscription_id, made, replayed = await services.hooks().create(spec, key=key, wait=preference.wait)
    headers = {"Location": f"/v1/subscriptions/{subscription_id}", **preference.to_headers()}
    if made is None:
        return _pending(subscription_id, headers)
    if replayed:
        return _show(made, headers={**headers, "Idempotent-Replayed": "true"})
    return _show(made, status=201, headers=headers)


@router.get(
    "",
    summary="List subscriptions, newest first",
    operation_id="listSubscriptions",
    response_model=SubscriptionPage,
    responses=answers(example={"items": [examples.SUBSCRIPTION], "next_cursor": None}),
)
async def list_subscriptions(
    request: Request,
    services: Services,
    limit: Limit = 50,
    cursor: Cursor = None,
    owner: Name = None,
    name: Name = None,
) -> Response:
    page = await services.hooks().page(limit=limit, cursor=cursor, owner=owner, name=name)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.get(
    "/{subscription_id}",
    summary="Show a subscription; its secret is never shown",
    operation_id="getSubscription",
    response_model=Subscription,
    responses=answers(NotFoundError, example=examples.SUBSCRIPTION),
)
async def get_subscription(subscription_id: SubscriptionAt, services: Services) -> Response:
    return _show(await services.hooks().get(subscription_id))


@router.put(
    "/{subscription_id}",
    summary="Let a subscription be another one",
    description="Without `secret` it keeps the one it has, as long as the URL is the same.",
    operation_id="replaceSubscription",
    response_model=Subscription,
    responses=answers(NotFoundError, ConflictError, TooLargeError, example=examples.SUBSCRIPTION, more=_PENDING),
)
async def put_subscription(
    subscription_id: SubscriptionAt,
    spec: Annotated[SubscriptionSpec, Body(openapi_examples=examples.SUBSCRIPTIONS)],
    services: Services,
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="Only if it has still this `ETag`.", examples=['"1"'])
    ] = None,
) -> Response:
    revision = revision_of(if_match)
    if if_match is not None and if_match.strip() != "*" and revision is None:
        raise InvalidError.of("If-Match", "must be the ETag of a subscription")
    changed = await services.hooks().replace(subscription_id, spec, revision)
    return _pending(subscription_id) if changed is None else _show(changed)


@router.post(
    "/{subscription_id}/pause",
    summary="Send nothing for now; events of the pause are not made up for",
    operation_id="pauseSubscription",
    response_model=Subscription,
    responses=answers(NotFoundError, ConflictError, example=examples.SUBSCRIPTION, more=_PENDING),
)
async def pause_subscription(subscription_id: SubscriptionAt, services: Services) -> Response:
    found = await services.hooks().pause(subscription_id)
    return _pending(subscription_id) if found is None else _show(found)


@router.post(
    "/{subscription_id}/resume",
    summary="Go on",
    operation_id="resumeSubscription",
    response_model=Subscription,
    responses=answers(NotFoundError, ConflictError, example=examples.SUBSCRIPTION, more=_PENDING),
)
async def resume_subscription(subscription_id: SubscriptionAt, services: Services) -> Response:
    found = await services.hooks().resume(subscription_id)
    return _pending(subscription_id) if found is None else _show(found)


@router.post(
    "/{subscription_id}/test",
    summary="Send a ping, to see whether it arrives",
    description="Answered with its delivery: `GET /v1/deliveries/{delivery_id}` tells what became of it.",
    operation_id="testSubscription",
    status_code=202,
    response_model=Delivery | Pending,
    responses=answers(NotFoundError, ConflictError, example=examples.PING, status=202),
)
async def test_subscription(subscription_id: SubscriptionAt, services: Services) -> Response:
    ping = await services.hooks().test(subscription_id)
    if ping is None:
        return _pending(subscription_id)
    return json_answer(ping, status=202, headers={"Location": f"/v1/deliveries/{ping.id}"})


@router.delete(
    "/{subscription_id}",
    summary="Send nothing more, ever; what waits is dropped",
    operation_id="deleteSubscription",
    status_code=204,
    response_model=None,
    responses=answers(NotFoundError, more=_PENDING),
)
async def delete_subscription(subscription_id: SubscriptionAt, services: Services) -> Response:
    done = await services.hooks().delete(subscription_id)
    return Response(status_code=204) if done else _pending(subscription_id)


def _show(found: Subscription, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return json_answer(found, status=status, headers={"ETag": revision_tag(found.revision), **(headers or {})})


def _pending(subscription_id: str, headers: dict[str, str] | None = None) -> Response:
    return json_answer(Pending(id=subscription_id), status=202, headers={"Retry-After": "1", **(headers or {})})
