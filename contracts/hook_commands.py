"""Commands about subscriptions and deliveries."""

from __future__ import annotations

from typing import ClassVar

from .command import Command
from .principals import Principal
from .subscriptions import DeliveryId, SubscriptionId, SubscriptionSpec

__all__ = [
    "HOOK_COMMANDS",
    "CreateSubscription",
    "DeleteSubscription",
    "PauseSubscription",
    "Redeliver",
    "ReplaceSubscription",
    "ResumeSubscription",
    "TestSubscription",
]


class _SubscriptionCommand(Command):
    service: ClassVar[str] = "scheduler"

    subscription_id: SubscriptionId
    principal: Principal

    @property
    def target_id(self) -> str:
        """Return the subscription's identifier."""
        return self.subscription_id


class CreateSubscription(_SubscriptionCommand):
    """Send these events there from now on. Answered with the `Subscription`; the same identifier twice makes one."""

    name: ClassVar[str] = "subscription.create"
    makes: ClassVar[str] = "subscription_id"

    spec: SubscriptionSpec
    """Its secret is sealed."""
    request_hash: str = ""


class ReplaceSubscription(_SubscriptionCommand):
    """Let a subscription be as *spec* says from now on. Answered with the `Subscription`."""

    name: ClassVar[str] = "subscription.replace"

    spec: SubscriptionSpec
    """Without a secret it keeps the one it has, as long as the URL is the same."""
    revision: int | None = None
    """Only if it still has this one."""


class PauseSubscription(_SubscriptionCommand):
    """Send nothing and take nothing in until it is resumed. Answered with the `Subscription`."""

    name: ClassVar[str] = "subscription.pause"


class ResumeSubscription(_SubscriptionCommand):
    """Go on; events of the pause are not made up for. Answered with the `Subscription`."""

    name: ClassVar[str] = "subscription.resume"


class DeleteSubscription(_SubscriptionCommand):
    """Send nothing more, ever. Answered with the `Subscription`."""

    name: ClassVar[str] = "subscription.delete"


class TestSubscription(_SubscriptionCommand):
    """Send a ping. Answered with the `Delivery`."""

    __test__: ClassVar[bool] = False  # pytest takes it for a test by its name
    name: ClassVar[str] = "subscription.test"


class Redeliver(Command):
    """Send a dead letter again. Answered with the `Delivery`."""

    name: ClassVar[str] = "delivery.redeliver"
    service: ClassVar[str] = "scheduler"

    delivery_id: DeliveryId
    principal: Principal

    @property
    def target_id(self) -> str:
        """Return the delivery's identifier."""
        return self.delivery_id


HOOK_COMMANDS: tuple[type[Command], ...] = (
    CreateSubscription,
    ReplaceSubscription,
    PauseSubscription,
    ResumeSubscription,
    DeleteSubscription,
    TestSubscription,
    Redeliver,
)
"""Every command about them."""
