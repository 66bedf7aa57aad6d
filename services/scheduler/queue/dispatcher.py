"""Lets workloads go to the backends: at once where nothing speaks against it, else in their turn.

What waits lies in the table `waiting`; who has how much is counted in memory, from the moves that go by. Every decision
is part of the transaction that gave rise to it, so it costs a lone job nothing and cannot get lost.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import OverQuotaError
from contracts.model import now
from contracts.states import WorkloadState
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.backends.registry import Backends
from services.scheduler.journey import Moved
from services.scheduler.records import Record
from services.scheduler.settings import Limits, QueueSettings
from services.scheduler.tables import dependencies
from services.scheduler.temporal import TEMPORAL_SINK, StartJob

from . import table
from .books import Books, Charge, Pace
from .demand import Demand, demand_of_row
from .lanes import WINDOW, Entry, Lane, LaneKey, Lanes, rank
from .room import Rooms
from .standing import Standing
from .table import Stage, Ticket, entry_of, key_of

__all__ = ["READY", "Dispatcher", "Going"]

READY = "ready"
"""The fact that something became ready in this transaction."""

_ON_ITS_WAY = frozenset({WorkloadState.ACCEPTED, WorkloadState.STAGING, WorkloadState.QUEUED})
_STARTED = frozenset({WorkloadState.STARTING, WorkloadState.RUNNING})
_WAITING = frozenset({WorkloadState.ACCEPTED, WorkloadState.HELD})
_LEFT = frozenset({WorkloadState.QUEUED, WorkloadState.FAILED})
"""Where the first step of a workflow takes a workload."""


@dataclass(frozen=True, slots=True)
class Going:
    """A workload that was let go."""

    id: str
    key: LaneKey
    backend: str
    start: dict[str, Any]


class Dispatcher:
    """Decides who goes next. One object for each process of the scheduler."""

    def __init__(
        self,
        *,
        unit: UnitOfWork,
        backends: Backends,
        queue: QueueSettings,
        limits: Limits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._unit = unit
        self._backends = backends
        self._queue = queue
        self._limits = limits
        self._clock = clock
        self.books = Books()
        self.rooms = Rooms(backends, self.books, Pace(time.monotonic), queue)
        self._lanes = Lanes()
        self._waiting: Counter[str] = Counter()
        self._standing = Standing()
        self.next_due: datetime | None = None
        """When the time comes of the first of those that wait for a moment."""
        self.news = asyncio.Event()
        """Set when somebody began to wait, or for an earlier moment, or something has to be counted anew."""
        unit.join(self.take_part)

    # --- memory -------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read from the tables who has what and who waits."""
        async with self._unit.reading() as connection:
            await self._load(connection)

    async def _load(self, connection: AsyncConnection) -> None:
        with self._standing.counting(connection):
            charges = await table.charges(connection, self._backends.names[0])
            lanes = await table.count_by_lane(connection)
            waiting = Counter(await table.count_by_owner(connection))
            self.next_due = await table.next_due(connection)
        # All at once: others decide while the tables are read.
        self.books.clear()
        for workload_id, charge in charges:
            self.books.charge(workload_id, charge)
        self._lanes.clear()
        for key, _ in lanes:
            self._lanes.open(key, more=True)
        self._waiting = waiting

    def doubt(self) -> None:
        """Have everything counted anew before the next decision, which the clock takes if nobody else does."""
        self._standing.doubt()
        self.news.set()

    @property
    def is_in_doubt(self) -> bool:
        """Say whether something failed since everything was counted: who waits in the tables may have no lane."""
        return self._standing.is_in_doubt

    @property
    def is_exact(self) -> bool:
        """Say whether the last count was of everything: what others were about to commit it could not see."""
        return self._standing.is_exact

    @property
    def anybody_waits(self) -> bool:
        """Say whether anybody waits for room."""
        return bool(self._lanes)

    async def _prepare(self, work: Work) -> None:
        self._join(work)
        if self.is_in_doubt:
            await self._load(work.connection)

    def _join(self, work: Work) -> None:
        work.on_rollback.add(self.doubt)
        self._standing.join(work)

    # --- in and out ---------------------------------------------------------------------------------------------

    async def admit(self, work: Work, ticket: Ticket, *, again: bool = False) -> None:
        """Take a workload that has just been let in: it goes at once, or waits. Its row must be written before.

        One that was let in *again*, as its place got lost, is not refused, and goes in its turn.
        """
        await self._prepare(work)
        self.books.discharge(ticket.id)  # its row is written: if everything was counted just now, so was this
        moment, key = now(), ticket.key
        stage = Stage.of(held=ticket.held, unmet=ticket.unmet, not_before=ticket.not_before, moment=moment)
        at_once = stage is Stage.READY and not again and not self._lanes
        if at_once and self.limit_on(key, ticket.demand) is None:
            backend = self.rooms.choose(key, ticket.demand)
            if backend is not None:
                self.books.charge(ticket.id, Charge(key.owner, key.project, backend, ticket.demand))
                _start(work, Going(ticket.id, key, backend, ticket.start))
                return
        if not again:
            self._require_place(key.owner)
        entry = await table.put(work.connection, ticket, stage, moment)
        self._waiting[key.owner] += 1
        if stage is Stage.READY:
            self._line_up(work, key, entry)
        elif stage is Stage.TIME:
            self._expect(ticket.not_before)

    async def withdraw(self, work: Work, workload_id: str) -> bool:
        """Take a workload out for good; returns whether it waited here, so that no backend knows of it."""
        await self._prepare(work)
        rows = await table.take_out(work.connection, [workload_id])
        if not rows:
            return False
        for row in rows:
            self._waiting[row["owner"]] -= 1
            self._lanes.remove(key_of(row), workload_id)
        await work.connection.execute(delete(dependencies).where(dependencies.c.workload_id == workload_id))
        return True

    async def hold(self, work: Work, workload_id: str) -> bool:
        """Keep a workload from going; returns whether it waits here."""
        await self._prepare(work)
        row = await table.find(work.connection, workload_id)
        if row is None:
            return False
        self._lanes.remove(key_of(row), workload_id)
        await table.restage(work.connection, [workload_id], Stage.HELD, now())
        return True

    async def release(self, work: Work, workload_id: str) -> bool:
        """Let a held workload wait for whatever else it has to; returns whether it was held here."""
        await self._prepare(work)
        row = await table.find(work.connection, workload_id)
        if row is None or row["stage"] != Stage.HELD:
            return False
        await self.promote(work, [row], held=False)
        return True

    async def promote(self, work: Work, rows: Sequence[Record], *, held: bool | None = None) -> None:
        """Find out anew what workloads wait for; those that are ready compete for room from now on."""
        await self._prepare(work)
        moment = now()
        stages: dict[Stage, list[str]] = {}
        for row in rows:
            stays = row["stage"] == Stage.HELD if held is None else held
            stage = Stage.of(held=stays, unmet=row["unmet"], not_before=row["not_before"], moment=moment)
            stages.setdefault(stage, []).append(row["id"])
            if stage is Stage.READY:
                self._line_up(work, key_of(row), entry_of({**row, "since": moment}))
            elif stage is Stage.TIME:
                self._expect(row["not_before"])
        for stage, ids in stages.items():
            await table.restage(work.connection, ids, stage, moment)

    def _line_up(self, work: Work, key: LaneKey, entry: Entry) -> None:
        if not self._lanes:
            self.news.set()
        self._lanes.open(key).add(entry)
        work.facts.append(READY)
        work.on_end.add(partial(self._keep, key, entry.id))

    def _keep(self, key: LaneKey, workload_id: str) -> None:
        """See to it that who lined up has a place still: others may have looked in the table before it was there."""
        if self.books.get(workload_id) is None and not self._lanes.knows(key, workload_id):
            self._lanes.open(key, more=True)
            self.news.set()

    def _require_place(self, owner: str) -> None:
        most = self._limits.waiting_per_user
        if most is not None and self._waiting[owner] >= most:
            raise OverQuotaError(f"{self._waiting[owner]} of yours wait already, which is the limit ({most})")

    def _expect(self, moment: datetime | None) -> None:
        if moment and (self.next_due is None or moment < self.next_due):
            self.next_due = moment
            self.news.set()

    # --- what happens -------------------------------------------------------------------------------------------

    async def take_part(self, work: Work) -> None:
        """Count what happened in a transaction, and let go whom it made room for."""
        self._join(work)
        moved = [fact for fact in work.facts if isinstance(fact, Moved)]
        if self.is_in_doubt:
            await self._load(work.connection)
            await self._take_out_strays(work, moved)
        else:
            await self._take_out_strays(work, moved)
            for fact in moved:
                self._count(fact)
        if self._lanes:
            await self._let_go(work)

    async def _take_out_strays(self, work: Work, moved: Sequence[Moved]) -> None:
        """Take out what goes although it waits here: a restored table may not know that it was let go."""
        for fact in moved:
            leaves = fact.old in _WAITING and fact.new in _LEFT
            if leaves and self.books.get(fact.row["id"]) is None and await self.withdraw(work, fact.row["id"]):
                self._count(fact)

    def _count(self, fact: Moved) -> None:
        row = fact.row
        workload_id = row["id"]
        if fact.new in _STARTED:
            if backend := self.books.start(workload_id):
                self.rooms.pace.note(backend)
        elif fact.new not in _ON_ITS_WAY:
            self.books.discharge(workload_id)
        elif fact.new is WorkloadState.QUEUED:
            self._count_attempt(row)

    def _count_attempt(self, row: Record) -> None:
        """Count an attempt that was handed to a backend, which may be another one than before."""
        known = self.books.get(row["id"])
        if known and not known.started and known.backend == row["backend"]:
            return
        demand = known.demand if known else demand_of_row(row)
        self.books.charge(row["id"], Charge(row["owner"], row["project"] or "", row["backend"], demand))

    # --- letting go ---------------------------------------------------------------------------------------------

    def limit_on(self, key: LaneKey, demand: Demand) -> str | None:
        """Return which limit keeps a lane's first from going now: `user`, `project` or none."""
        for name, most, has in (
            ("user", self._limits.running_per_user, self.books.of_owner(key.owner)),
            ("project", self._limits.running_per_project, self.books.of_project(key.project)),
        ):
            # One that alone is more than the limit goes when nothing else is there: else it would wait for ever.
            if most is not None and has.tasks and has.tasks + demand.tasks > most and (name == "user" or key.project):
                return name
        return None

    async def _let_go(self, work: Work) -> None:
        """Let go whoever there is room for, the first in rank first; whom there is no room for keeps it for itself."""
        wanted = self._lanes.backends
        if not self.rooms.is_any(wanted):
            return
        moment, whole = self._clock(), self.rooms.whole
        going: list[Going] = []
        heap = [self._placed(lane, moment, whole) for lane in await self._filled(work.connection)]
        heapq.heapify(heap)
        full: set[str] = set()
        while heap and not full.issuperset(wanted):
            lane = heapq.heappop(heap)[-1]
            if not lane.window:
                continue  # others have let its last go meanwhile
            if heap and (fresh := self._placed(lane, moment, whole)) > heap[0]:
                heapq.heappush(heap, fresh)  # its owner has got something since
                continue
            backend = self._backend_for(lane, full, moment)
            if backend is None:
                continue
            going.append(self._take_first(lane, backend, moment))
            if not lane.window and lane.more:
                await self._hand_over(work, going)
                await self._fill(work.connection, lane)
            if lane.window:
                heapq.heappush(heap, self._placed(lane, moment, whole))
            else:
                self._lanes.close_if_empty(lane)
        await self._hand_over(work, going)

    async def _filled(self, connection: AsyncConnection) -> list[Lane]:
        for lane in self._lanes.all():
            if not lane.window:
                await self._fill(connection, lane)
                self._lanes.close_if_empty(lane)
        return [lane for lane in self._lanes.all() if lane.window]

    @staticmethod
    async def _fill(connection: AsyncConnection, lane: Lane) -> None:
        with lane.being_filled():
            rows = await table.first_of(connection, lane.key)
        lane.take([entry_of(row) for row in rows[:WINDOW]], more=len(rows) > WINDOW)

    def _placed(self, lane: Lane, moment: float, whole: Demand) -> tuple[tuple[float, ...], int, Lane]:
        has = self.books.of_owner(lane.key.owner)
        share = has.share_of(whole) if has.tasks else 0.0
        return rank(lane, share=share, now=moment, aging=self._queue.aging), id(lane), lane

    def _backend_for(self, lane: Lane, full: set[str], moment: float) -> str | None:
        demand = lane.window[0].demand
        if self.limit_on(lane.key, demand):
            lane.served = moment  # it is held up by its own limit, not by others
            return None
        backend = self.rooms.choose(lane.key, demand, full)
        if backend is None:
            full.update(lane.key.backends)
        return backend

    def _take_first(self, lane: Lane, backend: str, moment: float) -> Going:
        entry = lane.window.pop(0)
        lane.served = moment
        self.books.charge(entry.id, Charge(lane.key.owner, lane.key.project, backend, entry.demand))
        return Going(entry.id, lane.key, backend, entry.start)

    async def _hand_over(self, work: Work, going: list[Going]) -> None:
        """Take those who go out of the table, and have their workflows started."""
        if not going:
            return
        out = {row["id"]: row for row in await table.take_out(work.connection, [one.id for one in going])}
        for one in going:
            if one.id in out:
                self._waiting[out[one.id]["owner"]] -= 1
                _start(work, one)
            else:
                # Another process of the scheduler was faster, or it is not committed yet: the table will tell.
                self.books.discharge(one.id)
                self._lanes.open(one.key, more=True)
        going.clear()


def _start(work: Work, one: Going) -> None:
    start = StartJob.model_validate({**one.start, "backend": one.backend or None})
    work.defer(TEMPORAL_SINK, f"start/{one.id}", start)
