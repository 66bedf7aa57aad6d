"""The questions of the queue to its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.states import WorkloadState
from services.scheduler.records import Record
from services.scheduler.tables import waiting, workloads

from .books import Charge
from .demand import Demand, demand_of
from .lanes import WINDOW, Entry, LaneKey

__all__ = [
    "Stage",
    "Ticket",
    "charges",
    "count_by_lane",
    "count_by_owner",
    "due",
    "entry_of",
    "find",
    "first_of",
    "key_of",
    "named",
    "next_due",
    "put",
    "restage",
    "take_out",
]

_HOLD_ROOM = (
    *(WorkloadState.ACCEPTED, WorkloadState.STAGING, WorkloadState.QUEUED),
    *(WorkloadState.STARTING, WorkloadState.RUNNING),
)
_LANE = [waiting.c.owner, waiting.c.project, waiting.c.priority, waiting.c.backends]
_AT_ONCE = 200


_PUT = insert(waiting)

_ONE = {"total": 1}
"""The counts of what is no array."""


class Stage(StrEnum):
    """What a workload in the table waits for; when it has that, the next one counts."""

    HELD = "held"
    DEPENDENCY = "dependency"
    TIME = "time"
    READY = "ready"
    """For its turn and for room."""

    @classmethod
    def of(cls, *, held: bool, unmet: int, not_before: datetime | None, moment: datetime) -> Stage:
        """Return the first that it has to wait for."""
        if held:
            return cls.HELD
        if unmet:
            return cls.DEPENDENCY
        return cls.TIME if not_before and not_before > moment else cls.READY


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the queue has to know of a workload that was let in."""

    id: str
    key: LaneKey
    demand: Demand
    start: dict[str, Any]
    """Said to Temporal when it goes; the chosen backend is put into its field `backend`."""
    held: bool = False
    unmet: int = 0
    """How many others it waits for."""
    not_before: datetime | None = None


_NEXT = ">"
"""Between names that are in the order of preference; no name holds it."""


def key_of(row: Record) -> LaneKey:
    """Return the lane of a row."""
    names, ordered = row["backends"], _NEXT in row["backends"]
    return LaneKey(
        row["owner"], row["project"], row["priority"], tuple(names.split(_NEXT if ordered else ",")), ordered
    )


def named(key: LaneKey) -> str:
    """Return the backends of a lane as its rows have them."""
    return (_NEXT if key.ordered else ",").join(key.backends)


def entry_of(row: Record) -> Entry:
    """Return what stands in a lane for a row."""
    demand = Demand(row["tasks"], row["cpus"], row["memory"], row["gpus"])
    return Entry(row["seq"], row["id"], row["since"].timestamp(), demand, row["start"])


async def put(connection: AsyncConnection, ticket: Ticket, stage: Stage, moment: datetime) -> Entry:
    """Keep a workload; returns what stands for it in a lane once it is ready."""
    key, demand = ticket.key, ticket.demand
    row = {
        "id": ticket.id,
        "owner": key.owner,
        "project": key.project,
        "priority": key.priority,
        "backends": named(key),
        "tasks": demand.tasks,
        "cpus": demand.cpus,
        "memory": demand.memory,
        "gpus": demand.gpus,
        "start": ticket.start,
        "stage": stage.value,
        "unmet": ticket.unmet,
        "not_before": ticket.not_before,
        "since": moment,
    }
    added = await connection.execute(_PUT, row)
    (seq,) = added.inserted_primary_key or (0,)
    return Entry(int(seq), ticket.id, moment.timestamp(), demand, ticket.start)


async def find(connection: AsyncConnection, workload_id: str, *, to_change: bool = True) -> Record | None:
    """Return the row of a workload, if it waits; *to_change* keeps others from changing it meanwhile."""
    statement = select(waiting).where(waiting.c.id == workload_id)
    if to_change:
        statement = statement.with_for_update()
    found = (await connection.execute(statement)).mappings().first()
    return dict(found) if found else None


async def take_out(connection: AsyncConnection, ids: Sequence[str]) -> list[Record]:
    """Remove workloads; returns the rows of those that were still there."""
    statement = delete(waiting).where(waiting.c.id.in_(ids)).returning(waiting)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def restage(connection: AsyncConnection, ids: Sequence[str], stage: Stage, moment: datetime) -> None:
    """Write down what workloads wait for now."""
    statement = update(waiting).where(waiting.c.id.in_(ids)).values(stage=stage.value, since=moment)
    await connection.execute(statement)


async def first_of(connection: AsyncConnection, key: LaneKey) -> list[Record]:
    """Return the first rows of a lane, one more than it keeps in memory."""
    statement = (
        select(waiting)
        .where(
            waiting.c.stage == Stage.READY.value,
            waiting.c.owner == key.owner,
            waiting.c.project == key.project,
            waiting.c.priority == key.priority,
            waiting.c.backends == named(key),
        )
        .order_by(waiting.c.seq)
        .limit(WINDOW + 1)
    )
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def due(connection: AsyncConnection, moment: datetime) -> list[Record]:
    """Return some rows whose time has come."""
    statement = (
        select(waiting)
        .where(waiting.c.stage == Stage.TIME.value, waiting.c.not_before <= moment)
        .order_by(waiting.c.not_before)
        .limit(_AT_ONCE)
    )
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def next_due(connection: AsyncConnection) -> datetime | None:
    """Return when the time of the next one comes."""
    statement = (
        select(waiting.c.not_before).where(waiting.c.stage == Stage.TIME.value).order_by(waiting.c.not_before).limit(1)
    )
    found: datetime | None = (await connection.execute(statement)).scalar()
    return found


async def count_by_lane(connection: AsyncConnection) -> list[tuple[LaneKey, int]]:
    """Return how many are ready in each lane."""
    statement = select(*_LANE, func.count().label("ready")).where(waiting.c.stage == Stage.READY.value).group_by(*_LANE)
    return [(key_of(dict(row)), row["ready"]) for row in (await connection.execute(statement)).mappings()]


async def count_by_owner(connection: AsyncConnection) -> dict[str, int]:
    """Return how many wait, whatever for, by owner."""
    statement = select(waiting.c.owner, func.count().label("waiting")).group_by(waiting.c.owner)
    return {row.owner: row.waiting for row in await connection.execute(statement)}


async def charges(connection: AsyncConnection, default_backend: str) -> list[tuple[str, Charge]]:
    """Return what was let go and has not given its room back."""
    table = workloads.c
    statement = select(
        *(table.id, table.owner, table.project, table.backend, table.state, table.tasks),
        table.spec["resources"].label("resources"),
        table.spec["array"].label("array"),
    ).where(
        table.state.in_([state.value for state in _HOLD_ROOM]),
        table.id.not_in(select(waiting.c.id)),
    )
    started = {WorkloadState.STARTING, WorkloadState.RUNNING}
    return [
        (
            row["id"],
            Charge(
                owner=row["owner"],
                project=row["project"] or "",
                backend=row["backend"] or default_backend,
                demand=demand_of(row["resources"], row["array"], (row["tasks"] or _ONE)["total"]),
                started=row["state"] in started,
            ),
        )
        for row in (await connection.execute(statement)).mappings()
    ]
