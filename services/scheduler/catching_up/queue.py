"""Makes the queue agree with the workloads: what a table was told by the log has its place, what has left has none."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import Select, delete, select

from contracts.envelope import Context
from contracts.errors import RefusedError
from contracts.states import TERMINAL, WorkloadState
from services.chassis.unit import UnitOfWork
from services.scheduler.entrance import Entrance
from services.scheduler.journey import ENDS_SINK, Ended
from services.scheduler.placing.placer import Placer
from services.scheduler.queue.dispatcher import Dispatcher
from services.scheduler.queue.table import Stage
from services.scheduler.records import Record, inputs_of, to_workload
from services.scheduler.store import find
from services.scheduler.tables import METADATA, dependencies, waiting, workloads
from services.scheduler.temporal import TEMPORAL_SINK

__all__ = ["QueueAgreement"]

_WAITING = (WorkloadState.ACCEPTED.value, WorkloadState.HELD.value)
"""States in which a workload may wait for its turn."""

_ENDED = tuple(state.value for state in TERMINAL)
_OUTBOX = METADATA.tables["outbox"]
_START = "start/"
_AT_ONCE = 100
"""Workloads that are seen to in one transaction."""

log = structlog.get_logger(__name__)


class QueueAgreement:
    """Level-triggered: it acts on what the tables say, so a start that was cut short is made good by the next one."""

    def __init__(self, *, unit: UnitOfWork, dispatcher: Dispatcher, entrance: Entrance, placer: Placer) -> None:
        self._unit = unit
        self._dispatcher = dispatcher
        self._entrance = entrance
        self._placer = placer

    async def agree(self) -> None:
        """Agree once. Nothing changes where nothing was lost or restored."""
        await self._take_out_those_that_left()
        await self._hold_and_release()
        placeless = await self._placeless()
        for start in range(0, len(placeless), _AT_ONCE):
            await self._seat(placeless[start : start + _AT_ONCE])
        await self._tell_ends()
        if placeless:
            log.warning("queue.seated_again", workloads=len(placeless))

    async def _take_out_those_that_left(self) -> None:
        left = select(workloads.c.id).where(workloads.c.state.not_in(_WAITING), workloads.c.id == waiting.c.id)
        waits = select(waiting.c.id).where(waiting.c.id == dependencies.c.workload_id)
        async with self._unit.begin(_context()) as work:
            gone = await work.connection.execute(delete(waiting).where(left.exists()))
            await work.connection.execute(delete(dependencies).where(~waits.exists()))
        if gone.rowcount:
            self._dispatcher.doubt()

    async def _hold_and_release(self) -> None:
        """Have those wait for a release that are held, and no others."""
        both = select(workloads.c.id, workloads.c.state).join(waiting, waiting.c.id == workloads.c.id)
        held = workloads.c.state == WorkloadState.HELD.value
        to_hold = await self._all(both.where(held, waiting.c.stage != Stage.HELD.value))
        to_release = await self._all(both.where(~held, waiting.c.stage == Stage.HELD.value))
        async with self._unit.begin(_context()) as work:
            for workload_id in to_hold:
                await self._dispatcher.hold(work, workload_id)
            for workload_id in to_release:
                await self._dispatcher.release(work, workload_id)

    async def _placeless(self) -> list[str]:
        """Return those that neither wait nor were let go, in the order in which they came."""
        placeless = workloads.c.state.in_(_WAITING), workloads.c.id.not_in(select(waiting.c.id))
        found = await self._all(select(workloads.c.id).where(*placeless).order_by(workloads.c.seq))
        if not found:
            return []
        starts = select(_START + workloads.c.id).where(*placeless)
        said = select(_OUTBOX.c.subject).where(_OUTBOX.c.sink == TEMPORAL_SINK, _OUTBOX.c.subject.in_(starts))
        let_go = {subject.removeprefix(_START) for subject in await self._all(said)}
        return [workload_id for workload_id in found if workload_id not in let_go]

    async def _seat(self, ids: Sequence[str]) -> None:
        async with self._unit.reading() as connection:
            rows = [row for workload_id in ids if (row := await find(connection, workload_id))]
        able = [await self._able(row) for row in rows]
        async with self._unit.begin(_context()) as work:
            for row, (backends, ordered) in zip(rows, able, strict=True):
                await self._entrance.seat_again(work, row, backends, ordered=ordered)

    async def _able(self, row: Record) -> tuple[Sequence[str], bool]:
        """Return the backends that can hold a workload, which was admitted once, whatever has become of them."""
        spec = to_workload(row).spec
        try:
            ranking = await self._placer.require_possible(spec, inputs_of(row))
        except RefusedError:
            return spec.placement.named or self._placer.backends.names, bool(spec.placement.backends)
        return ranking.names, ranking.ordered

    async def _tell_ends(self) -> None:
        """Say once more which of those have ended that somebody waits for."""
        statement = (
            select(workloads.c.id, workloads.c.state)
            .join(dependencies, dependencies.c.awaits == workloads.c.id)
            .where(workloads.c.state.in_(_ENDED))
            .distinct()
        )
        async with self._unit.reading() as connection:
            ended = (await connection.execute(statement)).all()
        async with self._unit.begin(_context()) as work:
            for workload_id, state in ended:
                work.defer(ENDS_SINK, f"ended/{workload_id}", Ended(state=WorkloadState(state)))

    async def _all(self, statement: Select[tuple[str]] | Select[tuple[str, str]]) -> list[str]:
        async with self._unit.reading() as connection:
            return list((await connection.execute(statement)).scalars())


def _context() -> Context:
    return Context.start("service:scheduler")
