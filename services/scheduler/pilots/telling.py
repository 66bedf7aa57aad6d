"""Tells pilots what they are to end of several runs; where all of a native job is to end, its keeper stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

import structlog
from pydantic import ValidationError
from sqlalchemy import select

from contracts.errors import ShunterError
from contracts.pilots import RunEnding
from contracts.runs import ControlReply
from contracts.subjects import pilot_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.unit import UnitOfWork
from services.scheduler.natives.cluster import Cluster
from services.scheduler.natives.words import AttemptState
from services.scheduler.tables import native_attempts as attempts
from services.scheduler.tables import natives

__all__ = ["Telling"]

_LISTENS = 0.2
"""Seconds between two looks whether anybody wished something."""
_AGAIN = 5.0
"""Seconds after which the table is read although nobody did: another process may have been asked."""
_ANSWER = 2.0

log = structlog.get_logger(__name__)


class Telling:
    """Level-triggered: what a pilot has not acknowledged is told again."""

    def __init__(self, *, unit: UnitOfWork, bus: Bus, clusters: Callable[[], Iterable[Cluster]]) -> None:
        self._unit = unit
        self._bus = bus
        self._clusters = clusters
        self._heard: dict[str, set[tuple[str, RunEnding]]] = {}
        self._looked: dict[str, float] = {}

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await asyncio.sleep(_LISTENS)
            for cluster in self._clusters():
                wished = cluster.bell.telling
                if wished.is_set() or monotonic() - self._looked.get(cluster.name, 0.0) > _AGAIN:
                    wished.clear()
                    self._looked[cluster.name] = monotonic()
                    try:
                        await self.tell(cluster)
                    except ShunterError as error:
                        log.warning("pilots.not_told", backend=cluster.name, detail=error.detail)
                    except Exception:
                        log.exception("pilots.telling_failed", backend=cluster.name)

    async def tell(self, cluster: Cluster) -> None:
        """Tell the pilots of one cluster."""
        wishes = await self._wishes(cluster.name)
        heard = self._heard.setdefault(cluster.name, set())
        heard.intersection_update(wishes)
        answers = await asyncio.gather(*(self._tell(*wish) for wish in wishes - heard))
        heard.update(wish for wish, known in zip(wishes - heard, answers, strict=True) if known)

    async def _wishes(self, backend: str) -> set[tuple[str, RunEnding]]:
        statement = (
            select(attempts.c.native, attempts.c.workload_id, attempts.c.attempt, attempts.c.ending, attempts.c.part)
            .join(natives, natives.c.name == attempts.c.native)
            .where(
                attempts.c.backend == backend,
                attempts.c.state == AttemptState.GIVEN.value,
                attempts.c.ending.is_not(None) | attempts.c.part.is_not(None),
                natives.c.stop_at.is_(None),
            )
        )
        async with self._unit.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return {
            (
                row.native,
                RunEnding(workload_id=row.workload_id, attempt=row.attempt, reason=row.ending, tasks=row.part),
            )
            for row in rows
        }

    async def _tell(self, native: str, wish: RunEnding) -> bool:
        """Tell one pilot; returns whether it heard."""
        try:
            with translated("the pilot"):
                message = await self._bus.connection.request(
                    pilot_subject(native), wish.model_dump_json().encode(), timeout=_ANSWER
                )
            return ControlReply.model_validate_json(message.data, extra="ignore").known
        except (ShunterError, ValidationError):
            return False
