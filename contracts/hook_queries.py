"""Questions about subscriptions and deliveries."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from .model import Model
from .principals import Principal
from .query import Query
from .subscriptions import Delivery, DeliveryId, DeliveryState, Subscription, SubscriptionId

__all__ = [
    "HOOK_QUERIES",
    "DeliveryPage",
    "GetDelivery",
    "GetSubscription",
    "ListDeliveries",
    "ListSubscriptions",
    "SubscriptionPage",
]


class GetSubscription(Query):
    """Give me one subscription."""

    name: ClassVar[str] = "subscription.get"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Subscription

    principal: Principal
    subscription_id: SubscriptionId


class SubscriptionPage(Model):
    """Some subscriptions, newest first."""

    items: list[Subscription]
    next_cursor: str | None = None


class ListSubscriptions(Query):
    """Give me a page of the subscriptions that the principal may see."""

    name: ClassVar[str] = "subscription.list"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = SubscriptionPage

    principal: Principal
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str | None = None
    owner: str | None = None
    subscription_name: str | None = None


class GetDelivery(Query):
    """Give me one delivery."""

    name: ClassVar[str] = "delivery.get"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Delivery

    principal: Principal
    delivery_id: DeliveryId


class DeliveryPage(Model):
    """Some deliveries, newest first."""

    items: list[Delivery]
    next_cursor: str | None = None


class ListDeliveries(Query):
    """Give me a page of the deliveries that the principal may see."""

    name: ClassVar[str] = "delivery.list"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = DeliveryPage

    principal: Principal
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str | None = None
    states: list[DeliveryState] = []
    owner: str | None = None
    subscription_id: str | None = None
    workload_id: str | None = None


HOOK_QUERIES: tuple[type[Query], ...] = (
    GetSubscription,
    ListSubscriptions,
    GetDelivery,
    ListDeliveries,
)
"""Every question about them."""
