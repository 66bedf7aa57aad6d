"""What users ask about subscriptions and deliveries: make, change, look, try, send again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import insert, update

from contracts.envelope import Context, Envelope
from contracts.errors import ConflictError, InvalidError, MismatchError, NotFoundError, OverQuotaError
from contracts.hook_commands import (
    CreateSubscription,
    DeleteSubscription,
    PauseSubscription,
    Redeliver,
    ReplaceSubscription,
    ResumeSubscription,
    TestSubscription,
)
from contracts.hook_events import DeliveryRedelivered, SubscriptionCreated, SubscriptionDeleted
from contracts.hook_queries import (
    DeliveryPage,
    GetDelivery,
    GetSubscription,
    ListDeliveries,
    ListSubscriptions,
    SubscriptionPage,
)
from contracts.ids import message_id
from contracts.model import now
from contracts.principals import Principal
from contracts.subscriptions import Delivery, DeliveryState, Subscription, SubscriptionSpec, SubscriptionState
from services.chassis.bus import Delivery as Arrived
from services.chassis.cursors import read_cursor, write_cursor
from services.chassis.policy import require_visible, scope_of
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.records import Record
from services.scheduler.tables import deliveries, subscriptions

from . import store
from .formats import FORMATS, PING, JobFacts
from .gate import HookGate
from .records import new_delivery, new_subscription, principal_of, spec_of, to_delivery, to_subscription
from .steering import change, pause
from .words import hurry, listen, start_line

__all__ = ["HookService"]


class HookService:
    """Keeps subscriptions, and shows what is on its way."""

    def __init__(self, *, unit: UnitOfWork, gate: HookGate, per_owner: int) -> None:
        self._unit = unit
        self._gate = gate
        self._per_owner = per_owner

    # --- commands -----------------------------------------------------------------------------------------------

    async def create(self, command: CreateSubscription, arrived: Arrived) -> Subscription:
        """Make a subscription; the same identifier twice is the same one, if the request is the same."""
        async with self._unit.reading() as connection:
            known = await store.find(connection, command.subscription_id)
        if known is not None:
            return _same(known, command)
        self._gate.require(command.spec)
        row = new_subscription(command.subscription_id, command.principal, command.spec, command.request_hash)
        async with self._unit.handling(arrived.message_id, arrived.context) as work:
            if work is None:
                raise ConflictError("the command was handled before, but its subscription is gone")
            if await store.count_of(work.connection, row["owner"]) >= self._per_owner:
                raise OverQuotaError(f"{row['owner']} has {self._per_owner} subscriptions, which is the most")
            await work.connection.execute(insert(subscriptions).values(**row))
            work.send(_created(row))
            work.defer(*listen(row["id"]))
        return to_subscription(row)

    async def replace(self, command: ReplaceSubscription, arrived: Arrived) -> Subscription:
        """Let a subscription be another one; a secret that is not given is kept while the URL is the same."""
        self._gate.require(command.spec)
        async with self._changing(command, arrived) as (work, row):
            if work is None:
                return to_subscription(row)
            if command.revision is not None and command.revision != row["revision"]:
                raise ConflictError(f"{row['id']} has been changed meanwhile: revision {row['revision']}")
            spec = _with_known_secret(command.spec, spec_of(row))
            values: dict[str, Any] = {"spec": spec.model_dump(mode="json"), "name": spec.name}
            if command.principal.subject == row["owner"]:
                fresh = new_subscription(row["id"], command.principal, spec, "")
                values["principal"] = fresh["principal"]
            return to_subscription(await change(work, row, **values))

    async def pause(self, command: PauseSubscription, arrived: Arrived) -> Subscription:
        """Send nothing and take nothing in for now."""
        async with self._changing(command, arrived) as (work, row):
            if work is None or row["state"] == SubscriptionState.PAUSED:
                return to_subscription(row)
            return to_subscription(await pause(work, row))

    async def resume(self, command: ResumeSubscription, arrived: Arrived) -> Subscription:
        """Go on, with what waited and with what happens from now on."""
        async with self._changing(command, arrived) as (work, row):
            if work is None or row["state"] == SubscriptionState.ACTIVE:
                return to_subscription(row)
            values: dict[str, Any] = {"state": SubscriptionState.ACTIVE.value, "reason": ""}
            if command.principal.subject == row["owner"]:  # by the rights that they have now
                values["principal"] = new_subscription(row["id"], command.principal, spec_of(row), "")["principal"]
            changed = await change(work, row, **values)
            work.defer(*listen(row["id"]))
            for line, owner in await store.lines_waiting(work.connection, row["id"]):
                work.defer(*hurry(line, owner))
            return to_subscription(changed)

    async def delete(self, command: DeleteSubscription, arrived: Arrived) -> Subscription:
        """Send nothing more, ever; what waited is dropped, its secret forgotten."""
        async with self._changing(command, arrived) as (work, row):
            if work is None:
                return to_subscription(row)
            moment = now()
            spec = spec_of(row).hidden().model_dump(mode="json")
            row.update(state=SubscriptionState.DELETED.value, spec=spec, updated_at=moment)
            kept = {name: row[name] for name in ("state", "spec", "updated_at")}
            await work.connection.execute(update(subscriptions).where(subscriptions.c.id == row["id"]).values(**kept))
            waiting = deliveries.c.target == row["id"], deliveries.c.state == DeliveryState.WAITING.value
            dropped = {"state": DeliveryState.DROPPED.value, "body": None, "next_at": None, "updated_at": moment}
            await work.connection.execute(update(deliveries).where(*waiting).values(**dropped))
            work.send(SubscriptionDeleted(subscription_id=row["id"], owner=row["owner"], at=moment))
            return to_subscription(row)

    async def test(self, command: TestSubscription, arrived: Arrived) -> Delivery:
        """Send a ping, to a paused subscription too."""
        async with self._changing(command, arrived) as (work, row):
            if work is None:
                raise ConflictError("the ping was sent before")
            ping = _ping(row, arrived.context)
            await work.connection.execute(insert(deliveries).values(**ping))
            work.defer(*start_line(ping["line"], ping["owner"]))
            return to_delivery(ping)

    async def redeliver(self, command: Redeliver, arrived: Arrived) -> Delivery:
        """Send a dead letter again, under the same event id, with all its tries anew."""
        async with self._unit.handling(arrived.message_id, arrived.context) as work:
            if work is None:
                return await self.get_delivery(
                    GetDelivery(principal=command.principal, delivery_id=command.delivery_id)
                )
            row = await store.find_delivery(work.connection, command.delivery_id, to_change=True)
            row = _visible_delivery(row, command.principal, command.delivery_id, to_change=True)
            if row["state"] != DeliveryState.DEAD or not row["kept"]:
                raise ConflictError(f"{row['id']} is {row['state']}; only dead letters can be sent again")
            await _require_target(work, row)
            row.update(state=DeliveryState.WAITING.value, attempts=0, next_at=None, updated_at=now())
            values = {name: row[name] for name in ("state", "attempts", "next_at", "updated_at")}
            await work.connection.execute(update(deliveries).where(deliveries.c.id == row["id"]).values(**values))
            work.send(_redelivered(row))
            work.defer(*hurry(row["line"], row["owner"]))
            return to_delivery(row)

    # --- queries ------------------------------------------------------------------------------------------------

    async def get(self, query: GetSubscription) -> Subscription:
        """Return one subscription."""
        return to_subscription(await self._visible(query.principal, query.subscription_id))

    async def page(self, query: ListSubscriptions) -> SubscriptionPage:
        """Return a page of what the principal may see, newest first."""
        before = None if query.cursor is None else read_cursor(query.cursor, "h")
        async with self._unit.reading() as connection:
            rows = await store.subscription_page(connection, query, scope_of(query.principal), before)
        shown = rows[: query.limit]
        more = write_cursor(shown[-1]["seq"], "h") if len(rows) > query.limit else None
        return SubscriptionPage(items=[to_subscription(row) for row in shown], next_cursor=more)

    async def get_delivery(self, query: GetDelivery) -> Delivery:
        """Return one delivery."""
        async with self._unit.reading() as connection:
            row = await store.find_delivery(connection, query.delivery_id)
        return to_delivery(_visible_delivery(row, query.principal, query.delivery_id))

    async def delivery_page(self, query: ListDeliveries) -> DeliveryPage:
        """Return a page of deliveries that the principal may see, newest first."""
        before = None if query.cursor is None else read_cursor(query.cursor, "d")
        async with self._unit.reading() as connection:
            rows = await store.delivery_page(connection, query, scope_of(query.principal), before)
        shown = rows[: query.limit]
        more = write_cursor(shown[-1]["seq"], "d") if len(rows) > query.limit else None
        return DeliveryPage(items=[to_delivery(row) for row in shown], next_cursor=more)

    # --- inside -------------------------------------------------------------------------------------------------

    async def _visible(self, principal: Principal, subscription_id: str) -> Record:
        async with self._unit.reading() as connection:
            row = await store.find(connection, subscription_id)
        return _visible_row(row, principal, subscription_id)

    @asynccontextmanager
    async def _changing(self, command: Any, arrived: Arrived) -> AsyncIterator[tuple[Work | None, Record]]:
        """Open a transaction on a subscription; no work if the message was handled before."""
        async with self._unit.handling(arrived.message_id, arrived.context) as work:
            if work is None:
                yield None, await self._visible(command.principal, command.subscription_id)
                return
            row = await store.lock(work.connection, command.subscription_id)
            yield work, _visible_row(row, command.principal, command.subscription_id, to_change=True)


def _visible_row(row: Record | None, principal: Principal, name: str, *, to_change: bool = False) -> Record:
    if row is None or row["state"] == SubscriptionState.DELETED:
        raise NotFoundError(f"{name} does not exist")
    require_visible(principal, row["owner"], None, name, to_change=to_change)
    return row


def _visible_delivery(row: Record | None, principal: Principal, name: str, *, to_change: bool = False) -> Record:
    if row is None:
        raise NotFoundError(f"{name} does not exist")
    require_visible(principal, row["owner"], row["project"], name, to_change=to_change)
    return row


async def _require_target(work: Work, row: Record) -> None:
    """Refuse to send again what has no target any more."""
    if row["subscription_id"] is None:
        return
    found = await store.find(work.connection, row["subscription_id"])
    if found is None or found["state"] == SubscriptionState.DELETED:
        raise ConflictError(f"the subscription of {row['id']} was deleted")


def _with_known_secret(new: SubscriptionSpec, old: SubscriptionSpec) -> SubscriptionSpec:
    keeps = new.secret is None and new.url == old.url
    return new.model_copy(update={"secret": old.secret}) if keeps else new


def _same(row: Record, command: CreateSubscription) -> Subscription:
    """Return what the first of two equal requests made."""
    _visible_row(row, command.principal, row["id"])
    if command.request_hash and row["request_hash"] and command.request_hash != row["request_hash"]:
        raise MismatchError("this Idempotency-Key was used for another request")
    return to_subscription(row)


def _ping(row: Record, context: Context) -> Record:
    spec = spec_of(row)
    envelope = Envelope(
        id=message_id(),
        source="/services/scheduler",
        type=PING,
        subject=row["id"],
        time=now(),
        actor=context.actor,
        correlationid=context.correlation,
        traceparent=context.traceparent,
        owner=row["owner"],
        data={"subscription_id": row["id"]},
    )
    body = FORMATS[spec.format](envelope, JobFacts())
    if body is None:
        raise InvalidError.of("format", f"{spec.format} has no word for a test")
    return new_delivery(
        target=row["id"],
        line=f"{row['id']}/ping-{envelope.id}",
        owner=row["owner"],
        project=None,
        subscription_id=row["id"],
        about=None,
        event_id=envelope.id,
        event_type=PING,
        url=spec.url,
        body=body,
    )


def _created(row: Record) -> SubscriptionCreated:
    return SubscriptionCreated(
        subscription_id=row["id"],
        owner=row["owner"],
        spec=spec_of(row),
        principal=principal_of(row),
        request_hash=row["request_hash"],
        at=row["created_at"],
    )


def _redelivered(row: Record) -> DeliveryRedelivered:
    known = {name: row[name] for name in ("owner", "project", "subscription_id", "workload_id")}
    return DeliveryRedelivered(
        delivery_id=row["id"], **known, event_id=row["event_id"], event_type=row["event_type"], at=now()
    )
