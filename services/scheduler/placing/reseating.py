"""Has those that wait compete for the backends that there are now, when the file of settings was changed."""

from __future__ import annotations

import structlog
from sqlalchemy import bindparam, select, update

from contracts.envelope import Context
from contracts.errors import RefusedError
from services.chassis.unit import UnitOfWork
from services.scheduler.queue.dispatcher import Dispatcher
from services.scheduler.queue.lanes import LaneKey
from services.scheduler.queue.table import key_of, named
from services.scheduler.records import Record, inputs_of, to_workload
from services.scheduler.tables import waiting, workloads

from .placer import Placer

__all__ = ["Reseating"]

_AT_ONCE = 200
"""Workloads that are looked at in one go."""

log = structlog.get_logger(__name__)


class Reseating:
    """Level-triggered: it goes by what the tables and the settings say, and may be cut short or repeated."""

    def __init__(self, *, unit: UnitOfWork, dispatcher: Dispatcher, placer: Placer) -> None:
        self._unit = unit
        self._dispatcher = dispatcher
        self._placer = placer

    async def reseat(self) -> int:
        """Go through all that wait; returns how many compete for other backends from now on."""
        moved, last = 0, 0
        while rows := await self._next(last):
            last = rows[-1]["waiting_seq"]
            changes = [change for row in rows if (change := await self._change(row))]
            if changes:
                await self._write(changes)
                moved += len(changes)
        if moved:
            log.info("queue.reseated", workloads=moved)
        return moved

    async def _next(self, last: int) -> list[Record]:
        columns = [waiting.c.seq.label("waiting_seq"), waiting.c.backends, waiting.c.priority]
        statement = (
            select(workloads, *columns)
            .join(waiting, waiting.c.id == workloads.c.id)
            .where(waiting.c.seq > last)
            .order_by(waiting.c.seq)
            .limit(_AT_ONCE)
        )
        async with self._unit.reading() as connection:
            return [dict(row) for row in (await connection.execute(statement)).mappings()]

    async def _change(self, row: Record) -> Record | None:
        """Return what another place is, if it is another one; what nothing can hold any more keeps the one it has."""
        spec = to_workload(row).spec
        try:
            ranking = await self._placer.require_possible(spec, inputs_of(row))
        except RefusedError:
            return None
        old = key_of({**row, "project": row["project"] or ""})
        ordered = ranking.ordered and len(ranking.names) > 1
        new = LaneKey(old.owner, old.project, old.priority, ranking.names, ordered)
        return None if new == old else {"key": row["id"], "to": named(new)}

    async def _write(self, changes: list[Record]) -> None:
        statement = update(waiting).where(waiting.c.id == bindparam("key")).values(backends=bindparam("to"))
        async with self._unit.begin(Context.start("service:scheduler")) as work:
            work.on_end.add(self._dispatcher.doubt)
            await work.connection.execute(statement, changes)
