"""Questions to the tables of callbacks, notices, subscriptions and deliveries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, Table, delete, exists, func, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.hook_queries import ListDeliveries, ListSubscriptions
from contracts.subscriptions import DeliveryState, SubscriptionState
from services.chassis.policy import Scope
from services.chassis.unit import upsert_for
from services.scheduler.records import Record
from services.scheduler.tables import callbacks, deliveries, hook_position, notices, subscriptions, workloads

from .formats import JobFacts

__all__ = [
    "Position",
    "active_subscriptions",
    "close_told",
    "count_by_state",
    "count_of",
    "count_overdue",
    "delivery_page",
    "facts_of",
    "find",
    "find_callback",
    "find_delivery",
    "has_interest",
    "keep_position",
    "lines_waiting",
    "lock",
    "next_waiting",
    "oldest_interest",
    "open_told",
    "prune",
    "read_position",
    "subscription_page",
]

_ACTIVE = subscriptions.c.state == SubscriptionState.ACTIVE.value
_TOLD = (callbacks, notices)
"""Who is told of one workload, until its end."""
_WAITING = deliveries.c.state == DeliveryState.WAITING.value
_SHOWN = [column for column in deliveries.c if column.name != "body"]
_PRUNED_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where the event log was looked through."""

    sequence: int
    at: datetime


# --- who wants to be told ---------------------------------------------------------------------------------------


async def has_interest(connection: AsyncConnection) -> bool:
    """Say whether anybody wants to be told of anything."""
    statement = select(or_(*(exists().where(_open(table)) for table in _TOLD), exists().where(_ACTIVE)))
    return bool((await connection.execute(statement)).scalar_one())


async def oldest_interest(connection: AsyncConnection) -> datetime | None:
    """Return when the first of those came who want to be told."""
    every = union_all(
        *(select(func.min(table.c.created_at).label("at")).where(_open(table)) for table in _TOLD),
        select(func.min(subscriptions.c.created_at).label("at")).where(_ACTIVE),
    ).subquery()
    found: datetime | None = (await connection.execute(select(func.min(every.c.at)))).scalar_one()
    return found


async def open_told(connection: AsyncConnection, table: Table, ids: Collection[str]) -> dict[str, RowMapping]:
    """Return the callbacks, or notices, of these workloads that are told of further moves."""
    if not ids:
        return {}
    statement = select(table).where(table.c.workload_id.in_(ids), _open(table))
    return {row["workload_id"]: row for row in (await connection.execute(statement)).mappings()}


async def close_told(connection: AsyncConnection, ids: Collection[str]) -> None:
    """Note that these workloads have ended, so that nothing more is told of them."""
    for table in _TOLD:
        await connection.execute(update(table).where(table.c.workload_id.in_(ids)).values(closed=True))


async def active_subscriptions(connection: AsyncConnection) -> Sequence[RowMapping]:
    """Return all subscriptions that are served."""
    return (await connection.execute(select(subscriptions).where(_ACTIVE))).mappings().all()


async def facts_of(connection: AsyncConnection, ids: Collection[str]) -> dict[str, JobFacts]:
    """Return names and labels of workloads."""
    if not ids:
        return {}
    statement = select(workloads.c.id, workloads.c.name, workloads.c.labels).where(workloads.c.id.in_(ids))
    return {row.id: JobFacts(row.name, row.labels) for row in await connection.execute(statement)}


async def find_callback(connection: AsyncConnection, workload_id: str) -> Record | None:
    """Return the callback of a workload."""
    return await _first(connection, select(callbacks).where(callbacks.c.workload_id == workload_id))


# --- the place in the log ---------------------------------------------------------------------------------------


async def read_position(connection: AsyncConnection) -> Position | None:
    """Return up to where the log was looked through."""
    row = await _first(connection, select(hook_position))
    return Position(row["sequence"], row["at"]) if row else None


async def keep_position(connection: AsyncConnection, position: Position) -> None:
    """Write that down."""
    insert = upsert_for(connection)(hook_position).values(id=1, sequence=position.sequence, at=position.at)
    values = {"sequence": position.sequence, "at": position.at}
    await connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=values))


# --- subscriptions ----------------------------------------------------------------------------------------------


async def find(connection: AsyncConnection, subscription_id: str) -> Record | None:
    """Return the row of a subscription, deleted ones too."""
    return await _first(connection, select(subscriptions).where(subscriptions.c.id == subscription_id))


async def lock(connection: AsyncConnection, subscription_id: str) -> Record | None:
    """Return the row of a subscription, to be changed in this transaction."""
    statement = select(subscriptions).where(subscriptions.c.id == subscription_id).with_for_update()
    return await _first(connection, statement)


async def count_of(connection: AsyncConnection, owner: str) -> int:
    """Return how many subscriptions somebody has."""
    there = subscriptions.c.owner == owner, subscriptions.c.state != SubscriptionState.DELETED.value
    return int((await connection.execute(select(func.count()).where(*there))).scalar_one())


async def subscription_page(
    connection: AsyncConnection, query: ListSubscriptions, scope: Scope, before: int | None
) -> Sequence[RowMapping]:
    """Return up to `limit + 1` rows, newest first, older than the row numbered *before*."""
    table = subscriptions.c
    statement = select(subscriptions).where(table.state != SubscriptionState.DELETED.value)
    statement = statement.where(*_visible(subscriptions, scope))
    for column, value in ((table.owner, query.owner), (table.name, query.subscription_name)):
        if value is not None:
            statement = statement.where(column == value)
    return await _page(connection, statement, subscriptions, before, query.limit)


# --- deliveries -------------------------------------------------------------------------------------------------


async def next_waiting(connection: AsyncConnection, line: str) -> Record | None:
    """Return what goes next on a line, with its body."""
    statement = select(deliveries).where(deliveries.c.line == line, _WAITING).order_by(deliveries.c.seq).limit(1)
    return await _first(connection, statement)


async def find_delivery(connection: AsyncConnection, delivery_id: str, *, to_change: bool = False) -> Record | None:
    """Return the row of a delivery, without its body."""
    statement = select(*_SHOWN, deliveries.c.body.is_not(None).label("kept")).where(deliveries.c.id == delivery_id)
    return await _first(connection, statement.with_for_update() if to_change else statement)


async def delivery_page(
    connection: AsyncConnection, query: ListDeliveries, scope: Scope, before: int | None
) -> Sequence[RowMapping]:
    """Return up to `limit + 1` rows, newest first, older than the row numbered *before*."""
    table = deliveries.c
    statement = select(*_SHOWN).where(*_visible(deliveries, scope))
    plain = {
        table.owner: query.owner,
        table.subscription_id: query.subscription_id,
        table.workload_id: query.workload_id,
    }
    statement = statement.where(*(column == value for column, value in plain.items() if value is not None))
    if query.states:
        statement = statement.where(table.state.in_([state.value for state in query.states]))
    return await _page(connection, statement, deliveries, before, query.limit)


async def count_overdue(connection: AsyncConnection, since: datetime) -> int:
    """Return how many deliveries should have been tried before *since* and were not."""
    due = func.coalesce(deliveries.c.next_at, deliveries.c.created_at) < since
    first = select(func.min(deliveries.c.seq)).where(_WAITING, _served()).group_by(deliveries.c.line)
    statement = select(func.count()).where(deliveries.c.seq.in_(first), due)
    return int((await connection.execute(statement)).scalar_one())


def _served() -> ColumnElement[bool]:
    """Say that a delivery belongs to a callback, or to a subscription that is not paused."""
    paused = select(subscriptions.c.id).where(~_ACTIVE)
    return or_(deliveries.c.subscription_id.is_(None), deliveries.c.subscription_id.not_in(paused))


async def lines_waiting(connection: AsyncConnection, target: str | None = None) -> list[tuple[str, str]]:
    """Return the lines on which something waits and may go, and whose they are."""
    statement = select(deliveries.c.line, func.min(deliveries.c.owner)).where(_WAITING, _served())
    if target is not None:
        statement = statement.where(deliveries.c.target == target)
    found = await connection.execute(statement.group_by(deliveries.c.line).order_by(func.min(deliveries.c.seq)))
    return [(line, owner) for line, owner in found.all()]


async def count_by_state(connection: AsyncConnection) -> dict[str, int]:
    """Return how many deliveries stand where, of those that are not delivered."""
    states = (DeliveryState.WAITING.value, DeliveryState.DEAD.value)
    statement = select(deliveries.c.state, func.count()).where(deliveries.c.state.in_(states))
    found = await connection.execute(statement.group_by(deliveries.c.state))
    return {row[0]: row[1] for row in found.all()}


async def prune(connection: AsyncConnection, before: datetime) -> int:
    """Forget some of what ended before; returns how many."""
    old = select(deliveries.c.seq).where(~_WAITING, deliveries.c.updated_at < before).limit(_PRUNED_AT_ONCE)
    return int((await connection.execute(delete(deliveries).where(deliveries.c.seq.in_(old)))).rowcount)


# --- inside -----------------------------------------------------------------------------------------------------


def _open(table: Table) -> ColumnElement[bool]:
    return table.c.closed.is_(False)


def _visible(table: Table, scope: Scope) -> list[ColumnElement[bool]]:
    if scope.everything:
        return []
    mine: ColumnElement[bool] = table.c.owner == scope.owner
    if "project" not in table.c or not scope.projects:
        return [mine]
    return [or_(mine, table.c.project.in_(scope.projects))]


async def _page(
    connection: AsyncConnection, statement: Select[Any], table: Table, before: int | None, limit: int
) -> Sequence[RowMapping]:
    if before is not None:
        statement = statement.where(table.c.seq < before)
    found: Sequence[RowMapping] = (
        (await connection.execute(statement.order_by(table.c.seq.desc()).limit(limit + 1))).mappings().all()
    )
    return found


async def _first(connection: AsyncConnection, statement: Select[Any]) -> Record | None:
    found = (await connection.execute(statement)).mappings().first()
    return dict(found) if found else None
