"""Calls about subscriptions and deliveries."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from contracts.ids import message_id
from contracts.subscriptions import Delivery, DeliveryState, Subscription, SubscriptionSpec
from shunter.models import DeliveryList, SubscriptionList

from .call import Call, params_of, path_of, reads

__all__ = [
    "create_subscription",
    "delete_subscription",
    "get_delivery",
    "get_subscription",
    "list_deliveries",
    "list_subscriptions",
    "pause_subscription",
    "redeliver",
    "replace_subscription",
    "resume_subscription",
    "test_subscription",
]

_SUBSCRIPTIONS = "v1/subscriptions"
_DELIVERIES = "v1/deliveries"


def create_subscription(spec: SubscriptionSpec, *, key: str | None = None) -> Call[Subscription | None]:
    """Have events sent; the key makes a second sending harmless. None: the command is kept until later."""
    headers = {"Idempotency-Key": key or message_id()}
    return Call("POST", path_of(_SUBSCRIPTIONS), _read_or_pending, headers=headers, body=_json(spec), hold=5.0)


def replace_subscription(
    subscription_id: str, spec: SubscriptionSpec, *, revision: int | None = None
) -> Call[Subscription | None]:
    """Let a subscription be another one, if it still has this *revision*."""
    headers = {"If-Match": f'"{revision}"'} if revision is not None else {}
    path = path_of(_SUBSCRIPTIONS, subscription_id)
    return Call("PUT", path, _read_or_pending, headers=headers, body=_json(spec), repeatable=revision is None, hold=5.0)


def list_subscriptions(
    *, name: str | None = None, owner: str | None = None, limit: int = 50, cursor: str | None = None
) -> Call[SubscriptionList]:
    """List a page of subscriptions, newest first."""
    params = params_of(name=name, owner=owner, limit=limit, cursor=cursor)
    return Call("GET", path_of(_SUBSCRIPTIONS), reads(SubscriptionList), params)


def get_subscription(subscription_id: str) -> Call[Subscription]:
    """Get one subscription."""
    return Call("GET", path_of(_SUBSCRIPTIONS, subscription_id), reads(Subscription))


def pause_subscription(subscription_id: str) -> Call[Subscription | None]:
    """Send nothing for now."""
    return Call("POST", path_of(_SUBSCRIPTIONS, subscription_id, "pause"), _read_or_pending, hold=5.0)


def resume_subscription(subscription_id: str) -> Call[Subscription | None]:
    """Go on."""
    return Call("POST", path_of(_SUBSCRIPTIONS, subscription_id, "resume"), _read_or_pending, hold=5.0)


def test_subscription(subscription_id: str) -> Call[Delivery | None]:
    """Have a ping sent; asked twice it sends two."""
    path = path_of(_SUBSCRIPTIONS, subscription_id, "test")
    return Call("POST", path, _read_delivery_or_pending, repeatable=False, hold=5.0)


def delete_subscription(subscription_id: str) -> Call[bool]:
    """Send nothing more, ever; false means that the command is kept until later."""
    path = path_of(_SUBSCRIPTIONS, subscription_id)
    return Call("DELETE", path, lambda response: response.status_code != 202, hold=5.0)


def list_deliveries(
    states: Sequence[DeliveryState] = (),
    *,
    subscription: str | None = None,
    job: str | None = None,
    owner: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Call[DeliveryList]:
    """List a page of deliveries, newest first."""
    params = params_of(state=states, subscription=subscription, job=job, owner=owner, limit=limit, cursor=cursor)
    return Call("GET", path_of(_DELIVERIES), reads(DeliveryList), params)


def get_delivery(delivery_id: str) -> Call[Delivery]:
    """Get one delivery."""
    return Call("GET", path_of(_DELIVERIES, delivery_id), reads(Delivery))


def redeliver(delivery_id: str) -> Call[Delivery | None]:
    """Send a dead letter again."""
    path = path_of(_DELIVERIES, delivery_id, "redeliver")
    return Call("POST", path, _read_delivery_or_pending, repeatable=False, hold=5.0)


def _read_or_pending(response: httpx.Response) -> Subscription | None:
    return None if response.status_code == 202 else reads(Subscription)(response)


def _read_delivery_or_pending(response: httpx.Response) -> Delivery | None:
    return None if response.json().get("status") == "pending" else reads(Delivery)(response)


def _json(spec: SubscriptionSpec) -> bytes:
    return spec.model_dump_json(exclude_unset=True).encode()
