"""Backends that operators have taken out of service for a while: no new work goes there, what runs runs on."""

from __future__ import annotations

import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.backends import BackendDrained, BackendResumed, BackendView, Drain, DrainBackend, ResumeBackend
from contracts.errors import ConflictError, NotFoundError
from contracts.model import now
from services.chassis.bus import Delivery
from services.chassis.policy import require_operator
from services.chassis.unit import UnitOfWork, Work, upsert_for
from services.scheduler.backends.registry import Backends
from services.scheduler.tables import backend_drains

from .views import view_of

__all__ = ["DrainService", "forget_drain", "keep_drain"]

log = structlog.get_logger(__name__)


class DrainService:
    """Keeps which backends are drained, in the table and in what placement goes by."""

    def __init__(self, *, unit: UnitOfWork, backends: Backends) -> None:
        self._unit = unit
        self._backends = backends

    async def load(self) -> None:
        """Go by what the table says: another replica may have written it."""
        async with self._unit.looking_up() as connection:
            self._backends.drains = await _drains(connection)

    async def drain(self, command: DrainBackend, delivery: Delivery) -> BackendView:
        """Give a backend no new work."""
        require_operator(command.principal)
        self._require(command.backend)
        drain = Drain(by=command.principal.subject, at=now(), message=command.message)
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is not None and command.backend not in await _drains(work.connection):
                work.send(await keep_drain(work, command.backend, drain))
                log.info("backend.drained", backend=command.backend, by=drain.by)
        return await self._show(command.backend)

    async def resume(self, command: ResumeBackend, delivery: Delivery) -> BackendView:
        """Give a backend work again."""
        require_operator(command.principal)
        self._require(command.backend)
        if self._backends.facts_of(command.backend).drain:
            raise ConflictError(f"the settings of {command.backend!r} say `drain: true`; take it out there")
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is not None and await forget_drain(work, command.backend):
                work.send(BackendResumed(backend=command.backend, at=now(), by=command.principal.subject))
                log.info("backend.resumed", backend=command.backend, by=command.principal.subject)
        return await self._show(command.backend)

    def _require(self, name: str) -> None:
        if name not in self._backends.names:
            raise NotFoundError(f"there is no backend {name!r}; there are: {', '.join(self._backends.names)}")

    async def _show(self, name: str) -> BackendView:
        await self.load()
        return view_of(await self._backends.standing(self._backends.require(name)))


async def keep_drain(work: Work, backend: str, drain: Drain) -> BackendDrained:
    """Write down that a backend is drained; returns the event that says so."""
    event = BackendDrained(backend=backend, at=drain.at or now(), by=drain.by, message=drain.message)
    values = {"by": event.by, "message": event.message, "at": event.at}
    statement = upsert_for(work.connection)(backend_drains).values(backend=backend, **values)
    await work.connection.execute(
        statement.on_conflict_do_update(index_elements=[backend_drains.c.backend], set_=values)
    )
    return event


async def forget_drain(work: Work, backend: str) -> bool:
    """Write down that a backend gets work again; returns whether it did not."""
    gone = await work.connection.execute(delete(backend_drains).where(backend_drains.c.backend == backend))
    return bool(gone.rowcount)


async def _drains(connection: AsyncConnection) -> dict[str, Drain]:
    rows = (await connection.execute(select(backend_drains))).mappings()
    return {row["backend"]: Drain(by=row["by"], at=row["at"], message=row["message"]) for row in rows}
