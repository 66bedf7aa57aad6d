"""Tells why a workload is where it is: the one reason that decides, its grounds, and what comes next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import RefusedError
from contracts.explanations import Explanation, Why
from contracts.principals import Principal
from contracts.queries import ExplainWorkload
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from services.chassis.unit import UnitOfWork
from services.scheduler.backends.base import NativeJob
from services.scheduler.backends.registry import Backends
from services.scheduler.records import Record, inputs_of, to_workload
from services.scheduler.rights import require_on, visible_among
from services.scheduler.settings import Limits
from services.scheduler.store import find
from services.scheduler.tables import dependencies, waiting, workloads

from . import table
from .dispatcher import Dispatcher
from .position import place_of
from .table import Stage, entry_of, key_of

__all__ = ["Explainer", "Weigh", "Weighed"]

_SHOWN = 20
"""Identifiers that are shown as evidence; the figures count all."""

_WITH_CLUSTER = frozenset(
    {Why.BACKEND_QUEUE, Why.BACKEND_AWAY, Why.STARTING, Why.RUNNING, Why.FINISHING, Why.CANCELING}
)
"""Where a cluster may have something to say."""


class Weighed(Protocol):
    """All backends, weighed up for one job."""

    @property
    def elsewhere(self) -> list[str]:
        """Say of all but the chosen one in one line each why it does not go there."""


Weigh = Callable[[JobSpec, Sequence[FrozenInput], str], Awaitable[Weighed]]

_Evidence = dict[str, int | float | str | list[str]]

_ENDED_NEXT = "`retry` runs it again, as a new job"
_CANCEL_OR_HOLD = "it goes by itself; `hold` keeps it, `cancel` ends it"


@dataclass(slots=True)
class _Found:
    why: Why
    message: str
    evidence: _Evidence = field(default_factory=dict)
    next_step: str = ""
    position: int | None = None


class Explainer:
    """Answers `explain`. Reads only; what it says of room and limits is what the dispatcher goes by."""

    def __init__(
        self, *, unit: UnitOfWork, dispatcher: Dispatcher, backends: Backends, limits: Limits, weigh: Weigh
    ) -> None:
        self._unit = unit
        self._dispatcher = dispatcher
        self._backends = backends
        self._limits = limits
        self._weigh = weigh

    async def explain(self, query: ExplainWorkload) -> Explanation:
        """Return the dominant reason for where a workload stands."""
        await self._backends.standings()
        async with self._unit.reading() as connection:
            found_row = await find(connection, query.workload_id)
            row = await require_on(connection, found_row, query.principal, query.workload_id)
            found = await self._find_out(connection, row, query.principal)
        if row["tasks"] is None and found.why in _WITH_CLUSTER:
            await self._add_sighting(row, found)
        return Explanation(
            workload_id=row["id"],
            state=WorkloadState(row["state"]),
            why=found.why,
            message=found.message,
            since=row["updated_at"],
            position=found.position,
            evidence=found.evidence,
            next_step=found.next_step,
        )

    async def _find_out(self, connection: AsyncConnection, row: Record, who: Principal) -> _Found:
        state = WorkloadState(row["state"])
        if state.is_terminal:
            return _ended(row, state)
        waits = await table.find(connection, row["id"], to_change=False)
        if waits is not None:
            return await self._why_waiting(connection, waits, row, who)
        if row["cancel_requested"]:
            return _Found(Why.CANCELING, "it was asked to end, and ends as soon as its backend says so")
        return self._why_with_backend(row, state)

    # --- what waits here ----------------------------------------------------------------------------------------

    async def _why_waiting(self, connection: AsyncConnection, waits: Record, row: Record, who: Principal) -> _Found:
        match Stage(waits["stage"]):
            case Stage.HELD:
                return _Found(Why.HELD, row["message"] or "it is held", next_step="`release` lets it go")
            case Stage.DEPENDENCY:
                return await _why_dependency(connection, row["id"], who)
            case Stage.TIME:
                return _why_time(waits["not_before"])
            case Stage.READY:
                return await self._why_ready(connection, waits, row)

    async def _why_ready(self, connection: AsyncConnection, waits: Record, row: Record) -> _Found:
        key, entry = key_of(waits), entry_of(waits)
        limit = self._dispatcher.limit_on(key, entry.demand)
        before = select(func.count()).where(
            *(waiting.c[name] == waits[name] for name in ("stage", "owner", "project", "priority", "backends")),
            waiting.c.seq < waits["seq"],
        )
        in_lane = int((await connection.execute(before)).scalar_one())
        if limit:
            return self._why_limit(limit, waits, in_lane)
        elsewhere = await self._elsewhere(row)
        if troubles := self._troubles(key.backends):
            return _Found(
                Why.BACKEND_AWAY,
                f"no backend that could run it takes work: {troubles[0]}",
                {"backends": list(key.backends), "troubles": troubles, **elsewhere},
                "it goes by itself as soon as one is back; operators see more in `shunter doctor`",
            )
        counts = await table.count_by_lane(connection)
        open_lanes = [(other, count) for other, count in counts if not self._dispatcher.limit_on(other, entry.demand)]
        position = place_of(key, in_lane, open_lanes)
        evidence = self._room_of(key.backends[0]) | {"priority": key.priority, "cpus_wanted": entry.demand.cpus}
        evidence |= elsewhere
        if position == 1:
            message = f"it is the next one; {' and '.join(key.backends)} has no room at present"
            return _Found(Why.BACKEND_FULL, message, evidence, _CANCEL_OR_HOLD, position)
        message = f"about {position - 1} go before it, by priority or because their owners have less"
        return _Found(Why.TURN, message, evidence, _CANCEL_OR_HOLD, position)

    def _why_limit(self, limit: str, waits: Record, in_lane: int) -> _Found:
        books, of_user = self._dispatcher.books, limit == "user"
        has = books.of_owner(waits["owner"]) if of_user else books.of_project(waits["project"])
        most = self._limits.running_per_user if of_user else self._limits.running_per_project
        who = waits["owner"] if of_user else f"the project {waits['project']}"
        return _Found(
            Why.USER_LIMIT if of_user else Why.PROJECT_LIMIT,
            f"{who} has {has.tasks} under way, and no more than {most} at a time are allowed",
            {"running": has.tasks, "limit": most or 0, "before": in_lane},
            "it goes by itself when one of those has ended",
            in_lane + 1,
        )

    def _troubles(self, names: tuple[str, ...]) -> list[str]:
        """Return what is wrong with each backend, if something is wrong with all."""
        troubles = [self._trouble(name) for name in names]
        return troubles if all(troubles) else []

    def _trouble(self, name: str) -> str:
        if name not in self._backends.names:
            return f"{name} is not configured any more"
        if drain := self._backends.drain_of(name):
            return f"{name} is drained by {drain.by}"
        return self._backends.trouble_of(name)

    async def _elsewhere(self, row: Record) -> _Evidence:
        """Say of every backend where it does not go why not."""
        try:
            weighed = await self._weigh(to_workload(row).spec, inputs_of(row), row["owner"])
        except RefusedError:  # what it named is not configured any more
            return {}
        told = weighed.elsewhere[:_SHOWN]
        return {"elsewhere": told} if told else {}

    def _room_of(self, name: str) -> _Evidence:
        capacity, books = self._backends.capacity_of(name), self._dispatcher.books
        known: _Evidence = {
            "backend": name,
            "given": books.of_backend(name).tasks,
            "not_started": books.unstarted(name),
        }
        if capacity:
            known |= {"cpus": capacity.cpus, "cpus_free": max(0.0, self._dispatcher.rooms.free(name).cpus)}
        return known

    # --- what was let go ----------------------------------------------------------------------------------------

    def _why_with_backend(self, row: Record, state: WorkloadState) -> _Found:
        name = row["backend"] or ""
        evidence: _Evidence = {"attempt": row["attempt"]} | ({"backend": name} if name else {})
        match state:
            case WorkloadState.HELD:
                return _Found(Why.HELD, row["message"] or "it is held", next_step="`release` lets it go")
            case WorkloadState.QUEUED:
                return self._why_queued(name, evidence)
            case WorkloadState.STAGING | WorkloadState.STARTING:
                return _Found(Why.STARTING, f"{name} brings its files and starts it", evidence, "it runs soon")
            case WorkloadState.RUNNING:
                evidence |= _held_room(row)
                until = "it runs until its process ends or its walltime is over"
                return _Found(Why.RUNNING, f"it runs on {name}", evidence, until)
            case WorkloadState.FINISHING:
                message = f"its process has ended: {row['message'] or row['reason']}"
                return _Found(Why.FINISHING, message, evidence, "its files are brought home, or it is tried again")
            case _:
                return _Found(Why.HANDED_OVER, "it was let go and is on its way to its backend", evidence)

    async def _add_sighting(self, row: Record, found: _Found) -> None:
        """Add what the cluster says of it, if there is one that says something."""
        backend = self._backends.get(row["backend"] or "")
        job = NativeJob(row["id"], row["attempt"], row["native_id"] or "")
        seen = await backend.sight(job) if backend else None
        if seen is None:
            return
        told = {"native_name": seen.name, "native_id": seen.native_id, "native_state": seen.state, "node": seen.node}
        found.evidence |= {name: value for name, value in told.items() if value}
        if seen.reason:
            found.evidence["native_reason"] = seen.reason
            if found.why is Why.BACKEND_QUEUE:
                found.message += f", which says: {seen.reason}"

    def _why_queued(self, name: str, evidence: _Evidence) -> _Found:
        if trouble := self._backends.trouble_of(name):
            step = "it starts as soon as a runner is back"
            return _Found(Why.BACKEND_AWAY, f"{name} does not answer: {trouble}", evidence | {"trouble": trouble}, step)
        evidence |= self._room_of(name)
        return _Found(
            Why.BACKEND_QUEUE, f"it waits for room in the own queue of {name}", evidence, "it starts by itself"
        )


def _ended(row: Record, state: WorkloadState) -> _Found:
    evidence: _Evidence = {"attempts": row["attempt"], "reason": row["reason"]}
    if row["exit_code"] is not None:
        evidence["exit_code"] = row["exit_code"]
    if row["reason"] == Reason.DEPENDENCY and row["cause"]:
        evidence["cause"] = row["cause"]
    told = row["message"] or (f"exit code {row['exit_code']}" if row["exit_code"] is not None else row["reason"])
    return _Found(Why.ENDED, f"it {_ENDED_AS[state]}: {told}", evidence, _ENDED_NEXT)


_ENDED_AS = {
    WorkloadState.SUCCEEDED: "succeeded",
    WorkloadState.FAILED: "failed",
    WorkloadState.CANCELED: "was canceled",
    WorkloadState.LOST: "got lost",
}


def _why_time(not_before: datetime) -> _Found:
    moment = not_before.isoformat(timespec="seconds").replace("+00:00", "Z")
    return _Found(Why.START_AT, f"it starts no earlier than {moment}", {"not_before": moment}, _CANCEL_OR_HOLD)


async def _why_dependency(connection: AsyncConnection, workload_id: str, who: Principal) -> _Found:
    statement = (
        select(
            dependencies.c.outcome, *(workloads.c[name] for name in ("id", "owner", "project", "state", "removed_at"))
        )
        .join(workloads, workloads.c.id == dependencies.c.awaits)
        .where(dependencies.c.workload_id == workload_id)
        .order_by(workloads.c.seq)
    )
    rows = (await connection.execute(statement)).mappings().all()
    visible = await visible_among(connection, rows, who)
    seen = [f"{row['id']}:{row['outcome']}" for row in rows if row["id"] in visible]
    first = next((row for row in rows if row["id"] in visible), None)
    told = f", such as {first['id']}, which is {first['state']}" if first else ""
    return _Found(
        Why.DEPENDENCY,
        f"it waits for the end of {len(rows)} other{'s' if len(rows) != 1 else ''}{told}",
        {"awaits": seen[:_SHOWN], "number": len(rows)},
        "it goes on when they end as they should; if one does not, it is canceled",
    )


def _held_room(row: Record) -> _Evidence:
    evidence: _Evidence = {}
    if row["started_at"]:
        evidence["started_at"] = row["started_at"].isoformat(timespec="seconds").replace("+00:00", "Z")
    if row["allocation"]:
        evidence |= {"cpus": row["allocation"].get("cpus", 0.0), "gpus": row["allocation"].get("gpus", 0)}
        evidence["node"] = row["allocation"].get("node", "")
    return evidence
