"""The scheduler's questions to its tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, Text, bindparam, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.glances import Glance, GlanceWorkloads
from contracts.model import now
from contracts.queries import ListWorkloads
from contracts.states import TERMINAL, WorkloadState
from services.chassis.policy import Scope
from services.chassis.unit import Work

from .journey import Journey
from .natives.keeping import is_kept
from .records import Record
from .tables import grants, transitions, workloads

__all__ = [
    "backend_of",
    "count_by_backend",
    "find",
    "find_all",
    "glance",
    "history",
    "known",
    "open_journey",
    "page",
    "silent_runs",
    "standing_still",
]

_MOVING = tuple(state.value for state in (WorkloadState.ACCEPTED, WorkloadState.STAGING, WorkloadState.FINISHING))
"""States that last only as long as a step takes."""

_MOST_OF_PAGE = 3 * 2**20
"""Bytes of what users and runners wrote on one page; an answer travels in one message."""

# Statements of every job's way are built once: building one costs more than SQLite takes to run it.
_BY_ID = select(workloads).where(workloads.c.id == bindparam("wanted"))
_BY_IDS = select(workloads).where(workloads.c.id.in_(bindparam("wanted", expanding=True)))
_KNOWN = select(workloads.c.id).where(workloads.c.id.in_(bindparam("wanted", expanding=True)))
_FOR_CHANGE = _BY_ID.with_for_update()
_LONG = [func.length(cast(workloads.c[name], Text)) for name in ("spec", "inputs", "outputs", "logs")]
_SIZES = select(workloads.c.seq, sum(_LONG[1:], _LONG[0])).order_by(workloads.c.seq.desc())
_ALL = select(workloads).order_by(workloads.c.seq.desc())
_HISTORY = select(transitions).where(transitions.c.workload_id == bindparam("wanted")).order_by(transitions.c.revision)

_GLANCED = tuple(workloads.c[name] for name in Glance.model_fields)

_IN_HAND = (WorkloadState.QUEUED, WorkloadState.STARTING, WorkloadState.RUNNING, WorkloadState.FINISHING)


async def find(connection: AsyncConnection, workload_id: str) -> Record | None:
    """Return the row of a workload."""
    found = (await connection.execute(_BY_ID, {"wanted": workload_id})).mappings().first()
    return dict(found) if found else None


async def find_all(connection: AsyncConnection, workload_ids: Sequence[str]) -> dict[str, Record]:
    """Return the rows of some workloads by id, those that there are."""
    if len(workload_ids) == 1:  # most often; a list costs more than one
        found = await find(connection, workload_ids[0])
        return {workload_ids[0]: found} if found else {}
    rows = (await connection.execute(_BY_IDS, {"wanted": workload_ids})).mappings()
    return {row["id"]: dict(row) for row in rows}


async def known(connection: AsyncConnection, workload_ids: Sequence[str]) -> set[str]:
    """Return which of some workloads there are."""
    return set((await connection.execute(_KNOWN, {"wanted": workload_ids})).scalars())


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
        table.number: query.number,
    }
    found: list[ColumnElement[bool]] = [table.removed_at.is_(None)]
    found += [column == value for column, value in plain.items() if value is not None]
    found += [table.labels[name].as_string() == value for name, value in query.label.items()]
    if query.states:
        found.append(table.state.in_([state.value for state in query.states]))
    if query.created_after:
        found.append(table.created_at > query.created_after)
    if query.created_before:
        found.append(table.created_at < query.created_before)
    return found


async def page(
    connection: AsyncConnection, query: ListWorkloads, scope: Scope, before: int | None, words: Sequence[str] = ()
) -> tuple[Sequence[RowMapping], bool]:
    """Return up to `limit` rows, newest first, older than the row numbered *before*, and whether there are more.

    What is granted to one of *words* belongs to the list too. There are fewer rows where they would not fit into one
    message.
    """
    whole = _narrowed(_SIZES, query, before)
    wanted = [] if query.shared else [_in_scope(whole, scope)]
    # One statement for each word: each goes through an index in the order of the list, and stops at the limit.
    wanted += [_granted(whole, word, scope, before) for word in words]
    sizes: dict[int, int] = {}
    for statement in wanted:
        sizes |= {seq: int(one or 0) for seq, one in await connection.execute(statement.limit(query.limit + 1))}
    found = sorted(sizes, reverse=True)[: query.limit + 1]
    fitting = _fitting([sizes[seq] for seq in found[: query.limit]])
    if not fitting:
        return [], False
    rows = _ALL.where(workloads.c.seq.in_(found[:fitting]))
    shown = (await connection.execute(rows)).mappings().all()
    return shown, len(found) > fitting


async def glance(
    connection: AsyncConnection, query: GlanceWorkloads, scope: Scope, before: int | None, words: Sequence[str] = ()
) -> tuple[Sequence[RowMapping], int | None]:
    """Return the few facts of up to `limit` workloads, newest first, and the number of the last if there are more.

    What is granted to one of *words* is among them.
    """
    whole = select(*_GLANCED, workloads.c.seq).where(workloads.c.removed_at.is_(None))
    whole = whole.order_by(workloads.c.seq.desc())
    if query.ids:
        whole = whole.where(workloads.c.id.in_(query.ids))
    if query.has_label is not None:
        whole = whole.where(workloads.c.labels[query.has_label].as_string().is_not(None))
    if before is not None:
        whole = whole.where(workloads.c.seq < before)
    rows: dict[int, RowMapping] = {}
    for statement in [_in_scope(whole, scope), *(_granted(whole, word, scope, before) for word in words)]:
        found = (await connection.execute(statement.limit(query.limit + 1))).mappings()
        rows |= {row["seq"]: row for row in found}
    shown = sorted(rows, reverse=True)[: query.limit]
    return [rows[seq] for seq in shown], shown[-1] if len(rows) > query.limit else None


def _fitting(sizes: Sequence[int]) -> int:
    """Return how many of the first rows fit on a page; the first always does."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if number and total > _MOST_OF_PAGE:
            return number
    return len(sizes)


def _narrowed(statement: Select[Any], query: ListWorkloads, before: int | None) -> Select[Any]:
    if before is not None:
        statement = statement.where(workloads.c.seq < before)
    return statement.where(*_filters(query))


def _in_scope(statement: Select[Any], scope: Scope) -> Select[Any]:
    visible = _visible(scope)
    return statement if visible is None else statement.where(visible)


def _granted(statement: Select[Any], word: str, scope: Scope, before: int | None) -> Select[Any]:
    """Return those that somebody else shares with *word*."""
    good = or_(grants.c.expires_at.is_(None), grants.c.expires_at > now())
    joined = statement.join(grants, grants.c.place == workloads.c.seq).order_by(None).order_by(grants.c.place.desc())
    if before is not None:
        joined = joined.where(grants.c.place < before)
    return joined.where(grants.c.grantee == word, good, workloads.c.owner != scope.owner)


async def silent_runs(connection: AsyncConnection, since: datetime, limit: int = 1000) -> Sequence[RowMapping]:
    """Return attempts that are on a backend and gave no sign of life since *since*, the longest silent first."""
    seen = func.coalesce(workloads.c.seen_at, workloads.c.updated_at)
    statement = (
        select(workloads.c.id, workloads.c.attempt, workloads.c.backend, workloads.c.native_id, workloads.c.state)
        .where(workloads.c.state.in_([state.value for state in _IN_HAND]), seen < since, workloads.c.tasks.is_(None))
        .where(~is_kept(workloads.c.id, workloads.c.attempt))
        .order_by(seen)
        .limit(limit)
    )
    return (await connection.execute(statement)).mappings().all()


async def backend_of(connection: AsyncConnection, workload_id: str, attempt: int) -> str | None:
    """Return the backend that an attempt was handed to, which need not be that of later ones."""
    statement = select(transitions.c.backend).where(
        transitions.c.workload_id == workload_id, transitions.c.attempt == attempt, transitions.c.backend.is_not(None)
    )
    found: str | None = (await connection.execute(statement.limit(1))).scalar()
    return found


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
