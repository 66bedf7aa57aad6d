"""Says a bundle of tasks as a message for a runner."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.arrays import fill, has_place
from contracts.ranges import Ranges
from contracts.runs import RunBundle, RunTask, RunTicket
from services.chassis.tickets import Tickets
from services.scheduler.records import Record, to_workload
from services.scheduler.tasks import make_task, ticket_of

from . import store
from .keeping import Keeping

__all__ = ["Packing"]


class Packing:
    """Makes the messages."""

    def __init__(self, *, keeping: Keeping, tickets: Tickets[RunTicket]) -> None:
        self._keeping = keeping
        self._tickets = tickets

    async def task(self, connection: AsyncConnection, row: Record, bundle: Any) -> RunTask:
        """Return the message for one bundle."""
        number: int = bundle["bundle"]
        task = make_task({**row, "attempt": number}, ticket=self._tickets.issue(ticket_of(row, number)))
        return task.model_copy(update={"bundle": await self._bundle(connection, row, bundle)})

    async def _bundle(self, connection: AsyncConnection, row: Record, bundle: Any) -> RunBundle:
        array = await store.find_array(connection, row["id"])
        items = await self._keeping.items(connection, array)
        indices = list(Ranges.parse(bundle["indices"]))
        in_hand = await store.tasks_in_hand(connection, row["id"], bundle["bundle"])
        sources = [item for item in to_workload(row).spec.inputs if has_place(item.source)]
        inputs = self._keeping.inputs(array) if sources else {}
        wanted = {fill(item.source, index, items[index] if items else None) for item in sources for index in indices}
        return RunBundle(
            indices=bundle["indices"],
            attempts={task["index"]: task["attempt"] for task in in_hand if task["attempt"] > 1},
            items=[items[index] for index in indices] if items else None,
            max_running=bundle["share"],
            inputs={source: inputs[source] for source in wanted if source in inputs},
            sources=sources,
        )
