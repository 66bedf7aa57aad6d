"""Questions to the tables of batches."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import RowMapping, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.queries import ListBatches
from contracts.states import TERMINAL, WorkloadState
from services.chassis.policy import Scope
from services.scheduler.records import Record
from services.scheduler.tables import batches, workloads

__all__ = ["counts_of", "find", "members", "page", "unfinished"]


async def find(connection: AsyncConnection, batch_id: str) -> Record | None:
    """Return the row of a batch."""
    found = (await connection.execute(select(batches).where(batches.c.id == batch_id))).mappings().first()
    return dict(found) if found else None


async def members(connection: AsyncConnection, batch_id: str) -> dict[str, RowMapping]:
    """Return how the jobs of a batch stand, by their ids."""
    table = workloads.c
    statement = select(table.id, table.state, table.exit_code, table.message).where(table.batch_id == batch_id)
    return {row["id"]: row for row in (await connection.execute(statement)).mappings()}


async def unfinished(connection: AsyncConnection, batch_id: str) -> set[str]:
    """Return the jobs of a batch that have not ended and need not be told to."""
    table = workloads.c
    statement = select(table.id).where(
        table.batch_id == batch_id,
        table.state.not_in([state.value for state in TERMINAL]),
        table.cancel_requested.is_(False),
    )
    return set((await connection.execute(statement)).scalars())


async def counts_of(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, dict[WorkloadState, int]]:
    """Return how many jobs of each batch stand where."""
    table = workloads.c
    statement = (
        select(table.batch_id, table.state, func.count())
        .where(table.batch_id.in_(ids))
        .group_by(table.batch_id, table.state)
    )
    found: dict[str, dict[WorkloadState, int]] = {batch_id: {} for batch_id in ids}
    for batch_id, state, count in (await connection.execute(statement)).all():
        found[batch_id][WorkloadState(state)] = count
    return found


async def page(
    connection: AsyncConnection, query: ListBatches, scope: Scope, before: int | None
) -> Sequence[RowMapping]:
    """Return up to `limit + 1` rows, newest first, older than the row numbered *before*."""
    table = batches.c
    statement = select(batches)
    if not scope.everything:
        statement = statement.where(or_(table.owner == scope.owner, table.project.in_(scope.projects)))
    if before is not None:
        statement = statement.where(table.seq < before)
    if query.owner is not None:
        statement = statement.where(table.owner == query.owner)
    if query.batch_name is not None:
        statement = statement.where(table.name == query.batch_name)
    return (await connection.execute(statement.order_by(table.seq.desc()).limit(query.limit + 1))).mappings().all()
