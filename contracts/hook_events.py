"""Events about subscriptions, and about what could not be delivered: one for each delivery would be a flood."""

from __future__ import annotations

from typing import ClassVar

from .fact import Event
from .ids import WorkloadId
from .model import Timestamp
from .principals import Principal
from .subscriptions import DeliveryId, SubscriptionId, SubscriptionSpec, SubscriptionState

__all__ = [
    "HOOK_EVENTS",
    "DeliveryDead",
    "DeliveryRedelivered",
    "SubscriptionChanged",
    "SubscriptionCreated",
    "SubscriptionDeleted",
]


class _SubscriptionEvent(Event):
    subscription_id: SubscriptionId
    owner: str
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the subscription's identifier."""
        return self.subscription_id


class SubscriptionCreated(_SubscriptionEvent):
    """There is a new subscription."""

    name: ClassVar[str] = "subscription.created"

    spec: SubscriptionSpec
    """Its secret is sealed, and left out where users see the event."""
    principal: Principal
    """Whose rights say what may be seen."""
    request_hash: str = ""


class SubscriptionChanged(_SubscriptionEvent):
    """A subscription is another one now, was paused or resumed."""

    name: ClassVar[str] = "subscription.changed"

    revision: int
    state: SubscriptionState
    reason: str = ""
    spec: SubscriptionSpec
    principal: Principal


class SubscriptionDeleted(_SubscriptionEvent):
    """A subscription is gone."""

    name: ClassVar[str] = "subscription.deleted"


class _DeliveryEvent(Event):
    delivery_id: DeliveryId
    owner: str
    project: str | None = None
    subscription_id: SubscriptionId | None = None
    workload_id: WorkloadId | None = None
    event_id: str
    event_type: str
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the delivery's identifier."""
        return self.delivery_id


class DeliveryDead(_DeliveryEvent):
    """An event could not be delivered, and nobody tries any more."""

    name: ClassVar[str] = "delivery.dead"

    url: str
    attempts: int
    status: int | None = None
    error: str = ""


class DeliveryRedelivered(_DeliveryEvent):
    """Somebody sent a dead letter on its way again; the envelope's actor says who."""

    name: ClassVar[str] = "delivery.redelivered"


HOOK_EVENTS: tuple[type[Event], ...] = (
    SubscriptionCreated,
    SubscriptionChanged,
    SubscriptionDeleted,
    DeliveryDead,
    DeliveryRedelivered,
)
"""Every event about them."""
