"""Forgets deliveries that ended long ago, and counts the others."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import prometheus_client
import structlog

from contracts.envelope import Context
from contracts.model import now
from contracts.operations import Finding, Severity
from contracts.subscriptions import DeliveryState
from services.chassis.unit import UnitOfWork

from . import store

__all__ = ["Upkeep"]

_EVERY = 600.0
"""Seconds."""
_OVERDUE = timedelta(minutes=10)

_STANDING = prometheus_client.Gauge("shunter_deliveries_standing", "Deliveries that did not arrive", ["state"])

log = structlog.get_logger(__name__)


class Upkeep:
    """Keeps the table of deliveries small, and says what is wrong with it."""

    def __init__(self, *, unit: UnitOfWork, kept: timedelta) -> None:
        self._unit = unit
        self._kept = kept

    async def run(self) -> None:
        """Clean up again and again, until cancelled."""
        while True:
            try:
                await self.clean()
                await self._count()
            except Exception:
                log.exception("hooks.upkeep_failed")
            await asyncio.sleep(_EVERY)

    async def clean(self) -> int:
        """Forget what ended long ago; a few at a time, for others write too."""
        pruned = 0
        while True:
            async with self._unit.begin(Context.start("service:scheduler")) as work:
                found = await store.prune(work.connection, now() - self._kept)
            pruned += found
            if not found:
                return pruned

    async def deliveries(self) -> list[Finding]:
        """Say whether there are dead letters, and whether what is due is sent: the probe of the doctor."""
        async with self._unit.reading() as connection:
            overdue = await store.count_overdue(connection, now() - _OVERDUE)
        dead = (await self._count()).get(DeliveryState.DEAD.value, 0)
        return [*([_dead(dead)] if dead else []), *([_overdue(overdue)] if overdue else [])]

    async def _count(self) -> dict[str, int]:
        async with self._unit.reading() as connection:
            counts = await store.count_by_state(connection)
        for state in (DeliveryState.WAITING, DeliveryState.DEAD):
            _STANDING.labels(state.value).set(counts.get(state.value, 0))
        return counts


def _dead(count: int) -> Finding:
    return Finding(
        code="deliveries-dead",
        severity=Severity.WARNING,
        part="webhooks",
        what=f"{count} events could not be delivered to their targets and are not tried any more",
        evidence=[f"dead={count}"],
        cause="targets that are down, refuse what they are sent, or are not allowed here any more",
        remedy="shunter deliveries ls --state dead; when the targets are well: shunter deliveries redeliver ID",
    )


def _overdue(count: int) -> Finding:
    return Finding(
        code="deliveries-overdue",
        severity=Severity.WARNING,
        part="webhooks",
        what=f"{count} targets should have been tried again {_OVERDUE.total_seconds() / 60:.0f} minutes ago",
        evidence=[f"overdue={count}"],
        cause="Temporal was away, or a target is too slow for what is sent to it; lost lines begin again by themselves",
        remedy="shunter deliveries ls --state waiting; if it stays so: restart the scheduler",
    )
