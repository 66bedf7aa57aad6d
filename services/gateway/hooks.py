"""Subscriptions and deliveries, as users ask for them: everything is the scheduler's; this says it on the bus."""

from __future__ import annotations

from typing import Any

from contracts.command import Command
from contracts.hook_commands import (
    CreateSubscription,
    DeleteSubscription,
    PauseSubscription,
    Redeliver,
    ReplaceSubscription,
    ResumeSubscription,
    TestSubscription,
)
from contracts.hook_queries import (
    DeliveryPage,
    GetDelivery,
    GetSubscription,
    ListDeliveries,
    ListSubscriptions,
    SubscriptionPage,
)
from contracts.ids import workload_id, workload_id_from
from contracts.model import now
from contracts.secrets import replace_secrets
from contracts.subscriptions import Delivery, DeliveryState, Subscription, SubscriptionSpec
from services.chassis.bus import Bus
from services.chassis.sealing import Sealer

from .callers import Caller
from .jobs import hash_of

__all__ = ["HookService"]

_PREFIX = "sub"


class HookService:
    """Makes, shows and steers subscriptions for one caller. None means: the scheduler is away, the command is kept.

    Secrets are sealed here: from here on nobody but the service that signs can read them.
    """

    def __init__(self, *, bus: Bus, caller: Caller, wait: float, sealer: Sealer) -> None:
        self._bus = bus
        self._caller = caller
        self._wait = wait
        self._sealer = sealer

    async def create(
        self, spec: SubscriptionSpec, *, key: str | None, wait: float | None
    ) -> tuple[str, Subscription | None, bool]:
        """Make a subscription; returns its id, its record, and whether an earlier request with the key had made it."""
        principal = self._caller.principal
        subscription_id = workload_id_from(principal.subject, key, _PREFIX) if key else workload_id(_PREFIX)
        asked_at = now()
        command = CreateSubscription(
            subscription_id=subscription_id,
            principal=principal,
            spec=replace_secrets(spec, self._sealer.seal),
            request_hash=hash_of(replace_secrets(spec, self._sealer.mark)) if key else "",
        )
        made = await self._order(command, wait)
        return subscription_id, made, bool(key and made and made.created_at < asked_at)

    async def replace(self, subscription_id: str, spec: SubscriptionSpec, revision: int | None) -> Subscription | None:
        """Let a subscription be another one."""
        sealed = replace_secrets(spec, self._sealer.seal)
        principal = self._caller.principal
        return await self._order(
            ReplaceSubscription(subscription_id=subscription_id, principal=principal, spec=sealed, revision=revision)
        )

    async def pause(self, subscription_id: str) -> Subscription | None:
        """Send nothing for now."""
        command = PauseSubscription(subscription_id=subscription_id, principal=self._caller.principal)
        return await self._order(command)

    async def resume(self, subscription_id: str) -> Subscription | None:
        """Go on."""
        command = ResumeSubscription(subscription_id=subscription_id, principal=self._caller.principal)
        return await self._order(command)

    async def delete(self, subscription_id: str) -> bool:
        """Send nothing more, ever; false: it will be done later."""
        command = DeleteSubscription(subscription_id=subscription_id, principal=self._caller.principal)
        return await self._order(command) is not None

    async def test(self, subscription_id: str) -> Delivery | None:
        """Have a ping sent."""
        command = TestSubscription(subscription_id=subscription_id, principal=self._caller.principal)
        return await self._order_delivery(command)

    async def redeliver(self, delivery_id: str) -> Delivery | None:
        """Send a dead letter again."""
        return await self._order_delivery(Redeliver(delivery_id=delivery_id, principal=self._caller.principal))

    async def get(self, subscription_id: str) -> Subscription:
        """Return one subscription."""
        query = GetSubscription(principal=self._caller.principal, subscription_id=subscription_id)
        found: Subscription = await self._bus.ask(query)
        return found

    async def page(self, *, limit: int, cursor: str | None, owner: str | None, name: str | None) -> SubscriptionPage:
        """Return some subscriptions, newest first."""
        query = ListSubscriptions(
            principal=self._caller.principal, limit=limit, cursor=cursor, owner=owner, subscription_name=name
        )
        page: SubscriptionPage = await self._bus.ask(query)
        return page

    async def get_delivery(self, delivery_id: str) -> Delivery:
        """Return one delivery."""
        query = GetDelivery(principal=self._caller.principal, delivery_id=delivery_id)
        found: Delivery = await self._bus.ask(query)
        return found

    async def delivery_page(
        self,
        *,
        limit: int,
        cursor: str | None,
        states: list[DeliveryState],
        owner: str | None,
        subscription: str | None,
        job: str | None,
    ) -> DeliveryPage:
        """Return some deliveries, newest first."""
        query = ListDeliveries(
            principal=self._caller.principal,
            limit=limit,
            cursor=cursor,
            states=states,
            owner=owner,
            subscription_id=subscription,
            workload_id=job,
        )
        page: DeliveryPage = await self._bus.ask(query)
        return page

    async def _order(self, command: Command, wait: float | None = None) -> Subscription | None:
        answer: Subscription | None = await self._say(command, wait, Subscription)
        return answer

    async def _order_delivery(self, command: Command) -> Delivery | None:
        answer: Delivery | None = await self._say(command, None, Delivery)
        return answer

    async def _say(self, command: Command, wait: float | None, answer: Any) -> Any:
        seconds = self._wait if wait is None else wait
        return await self._bus.order(command, self._caller.context, wait=seconds, answer=answer)
