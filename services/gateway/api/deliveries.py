"""`/v1/deliveries`: events on their way to callbacks and subscriptions, and dead letters."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request
from starlette.responses import Response

from contracts.errors import ConflictError, NotFoundError
from contracts.hook_queries import DeliveryPage
from contracts.subscriptions import Delivery, DeliveryState
from services.gateway.lean import Router

from . import hook_examples as examples
from .answers import answers, json_answer
from .context import Cursor, Limit, Name, Services
from .pages import next_link
from .views import Pending

__all__ = ["router"]

router = Router(prefix="/v1/deliveries", tags=["webhooks"])

DeliveryAt = Annotated[
    str,
    Path(
        pattern=r"^dlv-[0-9a-f]{32}$",
        description="The delivery's identifier.",
        examples=["dlv-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"],
    ),
]


@router.get(
    "",
    summary="List deliveries, newest first",
    operation_id="listDeliveries",
    response_model=DeliveryPage,
    responses=answers(example={"items": [examples.DELIVERY], "next_cursor": None}),
)
async def list_deliveries(
    request: Request,
    services: Services,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[list[DeliveryState], Query(max_length=8)] = [],  # noqa: B006 (FastAPI copies it)
    owner: Name = None,
    subscription: Annotated[
        str | None, Query(pattern=r"^sub-[0-9a-f]{32}$", description="Only those of this subscription.")
    ] = None,
    job: Annotated[
        str | None, Query(pattern=r"^[a-z]{3}-[0-9a-f]{32}$", description="Only those about this job.")
    ] = None,
) -> Response:
    page = await services.hooks().delivery_page(
        limit=limit, cursor=cursor, states=state, owner=owner, subscription=subscription, job=job
    )
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.get(
    "/{delivery_id}",
    summary="Show what became of a delivery",
    operation_id="getDelivery",
    response_model=Delivery,
    responses=answers(NotFoundError, example=examples.DELIVERY),
)
async def get_delivery(delivery_id: DeliveryAt, services: Services) -> Response:
    return json_answer(await services.hooks().get_delivery(delivery_id))


@router.post(
    "/{delivery_id}/redeliver",
    summary="Send a dead letter again, under the same event id",
    operation_id="redeliver",
    status_code=202,
    response_model=Delivery | Pending,
    responses=answers(
        NotFoundError, ConflictError, example={**examples.DELIVERY, "state": "waiting", "attempts": 0}, status=202
    ),
)
async def post_redeliver(delivery_id: DeliveryAt, services: Services) -> Response:
    found = await services.hooks().redeliver(delivery_id)
    if found is None:
        return json_answer(Pending(id=delivery_id), status=202, headers={"Retry-After": "1"})
    return json_answer(found, status=202)
