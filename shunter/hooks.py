"""What both clients offer for webhooks and mail: subscriptions, deliveries, whether one gets mail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from contracts.mail import MailStanding
from contracts.subscriptions import Delivery, DeliveryState, Subscription, SubscriptionSpec

from .calls import hooks, mail
from .calls.call import Call
from .models import DeliveryList, SubscriptionList

__all__ = ["AsyncHooks", "Hooks"]

T = TypeVar("T")


class Hooks(ABC):
    """Webhooks and mail, for the client."""

    @abstractmethod
    def _send(self, call: Call[T]) -> T: ...

    def create_subscription(self, spec: SubscriptionSpec, *, key: str | None = None) -> Subscription | None:
        """Have events sent to a URL; none: the scheduler is away, the command is kept."""
        return self._send(hooks.create_subscription(spec, key=key))

    def replace_subscription(
        self, subscription_id: str, spec: SubscriptionSpec, *, revision: int | None = None
    ) -> Subscription | None:
        """Let a subscription be another one, if it still has this *revision*; none: it will be done later."""
        return self._send(hooks.replace_subscription(subscription_id, spec, revision=revision))

    def list_subscriptions(
        self, *, name: str | None = None, owner: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> SubscriptionList:
        """Return a page of subscriptions, newest first."""
        return self._send(hooks.list_subscriptions(name=name, owner=owner, limit=limit, cursor=cursor))

    def get_subscription(self, subscription_id: str) -> Subscription:
        """Return a subscription; its secret is never shown."""
        return self._send(hooks.get_subscription(subscription_id))

    def pause_subscription(self, subscription_id: str) -> Subscription | None:
        """Send nothing for now; none: it will be done later."""
        return self._send(hooks.pause_subscription(subscription_id))

    def resume_subscription(self, subscription_id: str) -> Subscription | None:
        """Go on sending; none: it will be done later."""
        return self._send(hooks.resume_subscription(subscription_id))

    def test_subscription(self, subscription_id: str) -> Delivery | None:
        """Have a ping sent, to see whether it arrives; none: it will be done later."""
        return self._send(hooks.test_subscription(subscription_id))

    def delete_subscription(self, subscription_id: str) -> bool:
        """Send nothing more, ever; what waits is dropped. False: it will be done later."""
        return self._send(hooks.delete_subscription(subscription_id))

    def list_deliveries(
        self,
        states: Sequence[DeliveryState] = (),
        *,
        subscription: str | None = None,
        job: str | None = None,
        owner: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeliveryList:
        """Return a page of deliveries, newest first."""
        return self._send(
            hooks.list_deliveries(states, subscription=subscription, job=job, owner=owner, limit=limit, cursor=cursor)
        )

    def get_delivery(self, delivery_id: str) -> Delivery:
        """Return what became of a delivery."""
        return self._send(hooks.get_delivery(delivery_id))

    def redeliver(self, delivery_id: str) -> Delivery | None:
        """Send a dead letter again, under the same event id; none: it will be done later."""
        return self._send(hooks.redeliver(delivery_id))

    def get_mail(self) -> MailStanding:
        """Return whether you get mail about your jobs, and where."""
        return self._send(mail.get_mail())

    def set_mail(self, *, opted_out: bool) -> MailStanding | None:
        """Get no mail about your jobs, or get it again; none: it will be done later."""
        return self._send(mail.set_mail(opted_out=opted_out))


class AsyncHooks(ABC):
    """The same, awaited."""

    @abstractmethod
    async def _send(self, call: Call[T]) -> T: ...

    async def create_subscription(self, spec: SubscriptionSpec, *, key: str | None = None) -> Subscription | None:
        """Have events sent to a URL; none: the scheduler is away, the command is kept."""
        return await self._send(hooks.create_subscription(spec, key=key))

    async def replace_subscription(
        self, subscription_id: str, spec: SubscriptionSpec, *, revision: int | None = None
    ) -> Subscription | None:
        """Let a subscription be another one, if it still has this *revision*; none: it will be done later."""
        return await self._send(hooks.replace_subscription(subscription_id, spec, revision=revision))

    async def list_subscriptions(
        self, *, name: str | None = None, owner: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> SubscriptionList:
        """Return a page of subscriptions, newest first."""
        return await self._send(hooks.list_subscriptions(name=name, owner=owner, limit=limit, cursor=cursor))

    async def get_subscription(self, subscription_id: str) -> Subscription:
        """Return a subscription; its secret is never shown."""
        return await self._send(hooks.get_subscription(subscription_id))

    async def pause_subscription(self, subscription_id: str) -> Subscription | None:
        """Send nothing for now; none: it will be done later."""
        return await self._send(hooks.pause_subscription(subscription_id))

    async def resume_subscription(self, subscription_id: str) -> Subscription | None:
        """Go on sending; none: it will be done later."""
        return await self._send(hooks.resume_subscription(subscription_id))

    async def test_subscription(self, subscription_id: str) -> Delivery | None:
        """Have a ping sent, to see whether it arrives; none: it will be done later."""
        return await self._send(hooks.test_subscription(subscription_id))

    async def delete_subscription(self, subscription_id: str) -> bool:
        """Send nothing more, ever; what waits is dropped. False: it will be done later."""
        return await self._send(hooks.delete_subscription(subscription_id))

    async def list_deliveries(
        self,
        states: Sequence[DeliveryState] = (),
        *,
        subscription: str | None = None,
        job: str | None = None,
        owner: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeliveryList:
        """Return a page of deliveries, newest first."""
        return await self._send(
            hooks.list_deliveries(states, subscription=subscription, job=job, owner=owner, limit=limit, cursor=cursor)
        )

    async def get_delivery(self, delivery_id: str) -> Delivery:
        """Return what became of a delivery."""
        return await self._send(hooks.get_delivery(delivery_id))

    async def redeliver(self, delivery_id: str) -> Delivery | None:
        """Send a dead letter again, under the same event id; none: it will be done later."""
        return await self._send(hooks.redeliver(delivery_id))

    async def get_mail(self) -> MailStanding:
        """Return whether you get mail about your jobs, and where."""
        return await self._send(mail.get_mail())

    async def set_mail(self, *, opted_out: bool) -> MailStanding | None:
        """Get no mail about your jobs, or get it again; none: it will be done later."""
        return await self._send(mail.set_mail(opted_out=opted_out))
