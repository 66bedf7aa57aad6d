"""The scheduler's questions to its tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, Text, bindparam, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.glances import Glance, GlanceWorkloads
from contracts.queries import ListWorkloads
from contracts.states import TERMINAL, WorkloadState
from services.chassis.policy import Scope
from services.chassis.unit import Work

from .journey import Journey
from .records import Record
from .tables import transitions, workloads

__all__ = ["count_by_backend", "find", "glance", "history", "open_journey", "page", "silent_runs", "standing_still"]

_MOVING = tuple(state.value for state in (WorkloadState.ACCEPTED, WorkloadState.STAGING, WorkloadState.FINISHING))
"""States that last only as long as a step takes."""

_MOST_OF_PAGE = 3 * 2**20
"""Bytes of what users and runners wrote on one page; an answer travels in one message."""

# Statements of every job's way are built once: building one costs more than SQLite takes to run it.
_BY_ID = select(workloads).where(workloads.c.id == bindparam("wanted"))
_FOR_CHANGE = _BY_ID.with_for_update()
_HISTORY = select(transitions).where(transitions.c.workload_id == bindparam("wanted")).order_by(transitions.c.revision)

_GLANCED = tuple(workloads.c[name] for name in Glance.model_fields)

_IN_HAND = (WorkloadState.QUEUED, WorkloadState.STARTING, WorkloadState.RUNNING, WorkloadState.FINISHING)


async def find(connection: AsyncConnection, workload_id: str) -> Record | None:
    """Return the row of a workload."""
    found = (await connection.execute(_BY_ID, {"wanted": workload_id})).mappings().first()
    return dict(found) if found else None


async def open_journey(work: Work, workload_id: str) -> Journey | None:
    """Return a workload to be moved in this transaction."""
    found = (await work.connection.execute(_FOR_CHANGE, {"wanted": workload_id})).mappings().first()
    return Journey(work, dict(found)) if found else None


async def history(connection: AsyncConnection, workload_id: str) -> Sequence[RowMapping]:
    """Return all moves of a workload, oldest first."""
    return (await connection.execute(_HISTORY, {"wanted": workload_id})).mappings().all()


def _visible(scope: Scope) -> ColumnElement[bool] | None:
    if scope.everything:
        return None
    mine = workloads.c.owner == scope.owner
    return or_(mine, workloads.c.project.in_(scope.projects)) if scope.projects else mine


def _filters(query: ListWorkloads) -> list[ColumnElement[bool]]:
    table = workloads.c
    plain: dict[Any, Any] = {
        table.owner: query.owner,
        table.project: query.project,
        table.backend: query.backend,
        table.name: query.job_name,
        table.schedule_id: query.schedule_id,
        table.batch_id: query.batch_id,
    }
    found = [column == value for column, value in plain.items() if value is not None]
    found += [table.labels[name].as_string() == value for name, value in query.label.items()]
    if query.states:
        found.append(table.state.in_([state.value for state in query.states]))
    if query.created_after:
        found.append(table.created_at > query.created_after)
    if query.created_before:
        found.append(table.created_at < query.created_before)
    return found


async def page(
    connection: AsyncConnection, query: ListWorkloads, scope: Scope, before: int | None
) -> tuple[Sequence[RowMapping], bool]:
    """Return up to `limit` rows, newest first, older than the row numbered *before*, and whether there are more.

    There are fewer where they would not fit into one message.
    """
    columns = (workloads.c.spec, workloads.c.inputs, workloads.c.outputs, workloads.c.logs)
    size = sum((func.length(cast(column, Text)) for column in columns[1:]), func.length(cast(columns[0], Text)))
    sizes = _of_page(select(workloads.c.seq, size), query, scope, before).limit(query.limit + 1)
    found = (await connection.execute(sizes)).all()
    fitting = _fitting([int(row[1] or 0) for row in found[: query.limit]])
    if not fitting:
        return [], False
    rows = select(workloads).where(workloads.c.seq.in_([row[0] for row in found[:fitting]]))
    shown = (await connection.execute(rows.order_by(workloads.c.seq.desc()))).mappings().all()
    return shown, len(found) > fitting


async def glance(
    connection: AsyncConnection, query: GlanceWorkloads, scope: Scope, before: int | None
) -> tuple[Sequence[RowMapping], int | None]:
    """Return the few facts of up to `limit` workloads, newest first, and the number of the last if there are more."""
    statement = select(*_GLANCED, workloads.c.seq).order_by(workloads.c.seq.desc()).limit(query.limit + 1)
    visible = _visible(scope)
    wanted = [visible] if visible is not None else []
    if query.ids:
        wanted.append(workloads.c.id.in_(query.ids))
    if query.has_label is not None:
        wanted.append(workloads.c.labels[query.has_label].as_string().is_not(None))
    if before is not None:
        wanted.append(workloads.c.seq < before)
    found = (await connection.execute(statement.where(*wanted))).mappings().all()
    return found[: query.limit], found[query.limit - 1]["seq"] if len(found) > query.limit else None


def _fitting(sizes: Sequence[int]) -> int:
    """Return how many of the first rows fit on a page; the first always does."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if number and total > _MOST_OF_PAGE:
            return number
    return len(sizes)


def _of_page(statement: Select[Any], query: ListWorkloads, scope: Scope, before: int | None) -> Select[Any]:
    statement = statement.order_by(workloads.c.seq.desc())
    visible = _visible(scope)
    if visible is not None:
        statement = statement.where(visible)
    if before is not None:
        statement = statement.where(workloads.c.seq < before)
    return statement.where(*_filters(query))


async def silent_runs(connection: AsyncConnection, since: datetime, limit: int = 1000) -> Sequence[RowMapping]:
    """Return attempts that are on a backend and gave no sign of life since *since*, the longest silent first."""
    seen = func.coalesce(workloads.c.seen_at, workloads.c.updated_at)
    statement = (
        select(workloads.c.id, workloads.c.attempt, workloads.c.backend, workloads.c.native_id, workloads.c.state)
        .where(workloads.c.state.in_([state.value for state in _IN_HAND]), seen < since, workloads.c.tasks.is_(None))
        .order_by(seen)
        .limit(limit)
    )
    return (await connection.execute(statement)).mappings().all()


async def standing_still(connection: AsyncConnection, since: datetime, limit: int) -> Sequence[RowMapping]:
    """Return workloads that should go on by themselves and have not since *since*, the longest standing first."""
    statement = (
        select(workloads.c.id, workloads.c.state)
        .where(workloads.c.state.in_(_MOVING), workloads.c.updated_at < since)
        .order_by(workloads.c.updated_at)
        .limit(limit)
    )
    return (await connection.execute(statement)).mappings().all()


async def count_by_backend(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """Return how many workloads stand in which unfinished state on which backend."""
    statement = (
        select(workloads.c.backend, workloads.c.state, func.count())
        .where(workloads.c.state.not_in([state.value for state in TERMINAL]), workloads.c.backend.is_not(None))
        .group_by(workloads.c.backend, workloads.c.state)
    )
    return {(backend, state): count for backend, state, count in (await connection.execute(statement)).all()}
