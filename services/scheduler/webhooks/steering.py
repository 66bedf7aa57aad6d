"""Changes of a subscription, inside somebody's transaction: a row and an event each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from contracts.hook_events import SubscriptionChanged
from contracts.model import now
from contracts.subscriptions import SubscriptionState
from services.chassis.unit import Work
from services.scheduler.records import Record
from services.scheduler.tables import subscriptions

from .records import principal_of, spec_of

__all__ = ["change", "pause"]


async def pause(work: Work, row: Record, reason: str = "") -> Record:
    """Send nothing more to it for now; *reason* says why, if nobody wanted that."""
    return await change(work, row, state=SubscriptionState.PAUSED.value, reason=reason)


async def change(work: Work, row: Record, **values: Any) -> Record:
    """Let a subscription be another one; returns its row."""
    changed = {**row, **values, "revision": row["revision"] + 1, "updated_at": now()}
    kept = {name: changed[name] for name in ("revision", "updated_at", *values)}
    await work.connection.execute(update(subscriptions).where(subscriptions.c.id == row["id"]).values(**kept))
    work.send(
        SubscriptionChanged(
            subscription_id=changed["id"],
            owner=changed["owner"],
            revision=changed["revision"],
            state=SubscriptionState(changed["state"]),
            reason=changed["reason"],
            spec=spec_of(changed),
            principal=principal_of(changed),
            at=changed["updated_at"],
        )
    )
    return changed
