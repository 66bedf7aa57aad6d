"""The scheduler's questions to its tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.queries import ListWorkloads
from contracts.states import TERMINAL, WorkloadState
from services.chassis.policy import Scope
from services.chassis.unit import Work

from .journey import Journey
from .records import Record
from .tables import transitions, workloads

__all__ = ["count_by_backend", "find", "history", "open_journey", "page", "silent_runs"]

_IN_HAND = (WorkloadState.QUEUED, WorkloadState.STARTING, WorkloadState.RUNNING, WorkloadState.FINISHING)


async def find(connection: AsyncConnection, workload_id: str) -> Record | None:
    """Return the row of a workload."""
    found = (await connection.execute(select(workloads).where(workloads.c.id == workload_id))).mappings().first()
    return dict(found) if found else None


async def open_journey(work: Work, workload_id: str) -> Journey | None:
    """Return a workload to be moved in this transaction."""
    statement = select(workloads).where(workloads.c.id == workload_id).with_for_update()
    found = (await work.connection.execute(statement)).mappings().first()
    return Journey(work, dict(found)) if found else None


async def history(connection: AsyncConnection, workload_id: str) -> Sequence[RowMapping]:
    """Return all moves of a workload, oldest first."""
    statement = select(transitions).where(transitions.c.workload_id == workload_id).order_by(transitions.c.revision)
    return (await connection.execute(statement)).mappings().all()


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
) -> Sequence[RowMapping]:
    """Return up to `limit + 1` rows, newest first, older than the row numbered *before*."""
    statement: Select[Any] = select(workloads).order_by(workloads.c.seq.desc()).limit(query.limit + 1)
    visible = _visible(scope)
    if visible is not None:
        statement = statement.where(visible)
    if before is not None:
        statement = statement.where(workloads.c.seq < before)
    rows: Sequence[RowMapping] = (await connection.execute(statement.where(*_filters(query)))).mappings().all()
    return rows


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


async def count_by_backend(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """Return how many workloads stand in which unfinished state on which backend."""
    statement = (
        select(workloads.c.backend, workloads.c.state, func.count())
        .where(workloads.c.state.not_in([state.value for state in TERMINAL]), workloads.c.backend.is_not(None))
        .group_by(workloads.c.backend, workloads.c.state)
    )
    return {(backend, state): count for backend, state, count in (await connection.execute(statement)).all()}
