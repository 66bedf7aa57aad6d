"""Workloads that are gone: what they left behind goes, and what comes late is refused."""

from __future__ import annotations

from pydantic import ValidationError
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Envelope
from contracts.errors import ConflictError
from contracts.events import WorkloadRemoved
from services.chassis.bus import Delivery
from services.chassis.errors import invalid_from
from services.chassis.unit import UnitOfWork, upsert_for

from .removing import remove_all
from .stored import Reason, StoredFile
from .tables import FENCED, FILES

__all__ = ["Removals", "refuse_if_gone"]

_AT_ONCE = 1000
"""Files of one transaction."""

_FENCED = select(FENCED.c.at).where(FENCED.c.workload_id == bindparam("wanted"))
_LEFT = select(FILES).where(FILES.c.workload_id == bindparam("wanted")).limit(_AT_ONCE)


async def refuse_if_gone(connection: AsyncConnection, workload_id: str | None) -> None:
    """Raise `ConflictError` for what a workload brings that was removed."""
    if workload_id is not None and (await connection.execute(_FENCED, {"wanted": workload_id})).first():
        raise ConflictError(f"{workload_id} was removed; nothing of it is kept")


class Removals:
    """Hears which workloads are gone."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit

    async def take(self, raw: bytes, delivery: Delivery) -> None:
        """Fence a workload off and delete its files. Repeats are harmless."""
        try:
            envelope = Envelope.from_bytes(raw)
        except ValidationError as error:
            raise invalid_from(error) from error
        event = envelope.unwrap(WorkloadRemoved)
        # Fenced first: what is complete by then is seen below, and nothing is complete later.
        async with self._unit.begin(delivery.context) as work:
            row = {"workload_id": event.workload_id, "at": event.at}
            await work.connection.execute(upsert_for(work.connection)(FENCED).values(row).on_conflict_do_nothing())
        while await self._delete_some(event, delivery):
            pass

    async def _delete_some(self, event: WorkloadRemoved, delivery: Delivery) -> bool:
        async with self._unit.begin(delivery.context) as work:
            found = await work.connection.execute(_LEFT, {"wanted": event.workload_id})
            files = [StoredFile.from_row(row) for row in found]
            await remove_all(work, files, delivery.message_id, Reason.PURGED)
        return len(files) == _AT_ONCE
