"""Rows to subscriptions and deliveries, and back."""

from __future__ import annotations

from sqlalchemy import RowMapping

from contracts.hooks import Callback
from contracts.ids import workload_id
from contracts.model import now
from contracts.principals import Principal
from contracts.subscriptions import Delivery, DeliveryState, Subscription, SubscriptionSpec, SubscriptionState
from services.scheduler.records import Record

from .formats import Body

__all__ = [
    "callback_of",
    "new_delivery",
    "new_subscription",
    "principal_of",
    "spec_of",
    "to_delivery",
    "to_subscription",
]

Row = RowMapping | Record


def callback_of(row: Row) -> Callback:
    """Return the callback of a job, with its sealed secret."""
    return Callback.model_validate(row["callback"], extra="ignore")


def spec_of(row: Row) -> SubscriptionSpec:
    """Return what was asked for, with the sealed secret."""
    return SubscriptionSpec.model_validate(row["spec"], extra="ignore")


def principal_of(row: Row) -> Principal:
    """Return whose rights say what may be seen."""
    return Principal.model_validate(row["principal"], extra="ignore")


def to_subscription(row: Row) -> Subscription:
    """Return a subscription as its owner sees it."""
    spec = spec_of(row)
    known = {name: row[name] for name in ("id", "owner", "reason", "revision", "created_at", "updated_at")}
    state = SubscriptionState(row["state"])
    return Subscription(**known, spec=spec.hidden(), signed=spec.secret is not None, state=state)


def new_subscription(subscription_id: str, principal: Principal, spec: SubscriptionSpec, request_hash: str) -> Record:
    """Return the row of a new subscription."""
    moment = now()
    return {
        "id": subscription_id,
        "owner": principal.subject,
        "name": spec.name,
        "spec": spec.model_dump(mode="json"),
        "principal": principal.model_copy(update={"token": None}).model_dump(mode="json"),
        "state": SubscriptionState.ACTIVE.value,
        "reason": "",
        "revision": 1,
        "request_hash": request_hash,
        "created_at": moment,
        "updated_at": moment,
    }


def to_delivery(row: Row) -> Delivery:
    """Return a delivery as its owner sees it."""
    return Delivery.model_validate({name: row[name] for name in Delivery.model_fields}, extra="ignore")


def new_delivery(
    *,
    target: str,
    line: str,
    owner: str,
    project: str | None,
    subscription_id: str | None,
    about: str | None,
    event_id: str,
    event_type: str,
    url: str,
    body: Body,
    channel: str = "webhook",
) -> Record:
    """Return the row of an event that is to be sent."""
    moment = now()
    return {
        "id": workload_id("dlv"),
        "line": line,
        "target": target,
        "key": body.key,
        "owner": owner,
        "project": project,
        "subscription_id": subscription_id,
        "workload_id": about,
        "event_id": event_id,
        "event_type": event_type,
        "channel": channel,
        "url": url,
        "content_type": body.content_type,
        "body": body.content,
        "state": DeliveryState.WAITING.value,
        "attempts": 0,
        "status": None,
        "error": "",
        "next_at": None,
        "created_at": moment,
        "updated_at": moment,
    }
