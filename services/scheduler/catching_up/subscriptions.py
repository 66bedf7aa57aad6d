"""Folds what was told of subscriptions into their rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from contracts.hook_events import SubscriptionChanged, SubscriptionCreated, SubscriptionDeleted
from contracts.subscriptions import SubscriptionState
from services.chassis.unit import Work, upsert_for
from services.scheduler.tables import subscriptions
from services.scheduler.webhooks.records import new_subscription
from services.scheduler.webhooks.store import lock

__all__ = ["change", "create", "delete"]


async def create(work: Work, event: SubscriptionCreated) -> None:
    """Write a subscription down."""
    row = new_subscription(event.subscription_id, event.principal, event.spec, event.request_hash)
    row.update(created_at=event.at, updated_at=event.at)
    await work.connection.execute(upsert_for(work.connection)(subscriptions).values(row).on_conflict_do_nothing())


async def change(work: Work, event: SubscriptionChanged) -> None:
    """Let a subscription be another one."""
    row = await lock(work.connection, event.subscription_id)
    if row is None or row["revision"] >= event.revision:
        return
    fresh = new_subscription(row["id"], event.principal, event.spec, "")
    values = {name: fresh[name] for name in ("name", "spec", "principal")}
    known = {"state": event.state.value, "reason": event.reason, "revision": event.revision, "updated_at": event.at}
    await _save(work, row["id"], **values, **known)


async def delete(work: Work, event: SubscriptionDeleted) -> None:
    """Have a subscription gone."""
    await _save(work, event.subscription_id, state=SubscriptionState.DELETED.value, updated_at=event.at)


async def _save(work: Work, subscription_id: str, **values: Any) -> None:
    this = subscriptions.c.id == subscription_id
    await work.connection.execute(update(subscriptions).where(this).values(**values))
