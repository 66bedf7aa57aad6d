"""Takes attempts back from workers that fell silent, or never come to an end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from contracts.envelope import Context
from contracts.model import now
from contracts.states import Reason
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.context import workload_context
from services.scheduler.journey import Journey
from services.scheduler.records import Record
from services.scheduler.settings import PullSettings
from services.scheduler.store import open_journey
from services.scheduler.temporal import TEMPORAL_SINK, Signal
from services.scheduler.workflows.words import AttemptEnd

from . import store, tasks
from .store import PullState

__all__ = ["PullKeeper"]

_TAKEN_BACK = Counter("shunter_leases_taken_back_total", "Attempts whose worker fell silent", ["backend", "reason"])

_REMEMBERED = timedelta(days=7)
"""How long workers that never come again and attempts that ended are remembered."""

_NOBODY = 10.0
"""Seconds between two looks whether there is such a backend by now."""

log = structlog.get_logger(__name__)


class PullKeeper:
    """Level-triggered: it acts on what the tables say, so it may be stopped, doubled or late without harm."""

    def __init__(self, *, unit: UnitOfWork, backends: Mapping[str, PullSettings]) -> None:
        self._unit = unit
        self._backends = backends

    async def run(self) -> None:
        """Look again and again until cancelled; costs nothing where there is no such backend."""
        while True:
            await asyncio.sleep(min((settings.look for settings in self._backends.values()), default=_NOBODY))
            try:
                if self._backends:
                    await self.look()
            except Exception:
                log.exception("pulls.failed")

    async def look(self) -> int:
        """Look once; returns how many attempts were taken back."""
        taken = 0
        for name, settings in self._backends.items():
            limits = _limits(settings, now())
            async with self._unit.reading() as connection:
                rows = await store.overdue(connection, name, **limits)
            for row in rows:
                taken += await self._take_back(row, settings)
        async with self._unit.begin(Context.start("service:scheduler")) as work:
            await store.forget(work.connection, now() - _REMEMBERED)
        return taken

    async def _take_back(self, row: Record, settings: PullSettings) -> bool:
        """Fence a worker off, and tell the job's workflow; False if it has said something meanwhile."""
        async with self._unit.begin(workload_context(row["workload_id"])) as work:
            present = await store.find(work.connection, row["number"], to_change=True)
            if present is None or present["seen_at"] != row["seen_at"]:
                return False
            journey = await open_journey(work, row["workload_id"])
            reason = _reason(present, journey)
            values = {"state": PullState.ENDED.value, "ending": reason.value}
            if not await store.change(work.connection, row["number"], PullState.LEASED, **values):
                return False
            await _tell(work, journey, present, reason, _message(present, settings, now()))
        log.warning("lease.taken_back", workload=row["workload_id"], worker=row["worker"], reason=reason.value)
        _TAKEN_BACK.labels(row["backend"], reason.value).inc()
        return True


def _limits(settings: PullSettings, moment: datetime) -> dict[str, datetime]:
    return {
        "seen": moment - timedelta(seconds=settings.lease),
        "begun": moment - timedelta(seconds=settings.begin_within),
        "finished": moment - timedelta(seconds=settings.finish_within),
    }


def _reason(row: Record, journey: Journey | None) -> Reason:
    """Say how an attempt ended whose worker will say no more."""
    if row["ending"]:
        return Reason(row["ending"])
    # Its program has failed: another attempt would only repeat that, and is the job's to wish for.
    failed = row["exited_at"] is not None and journey is not None and journey.row["exit_code"]
    return Reason.EXITED if failed else Reason.LOST


def _message(row: Record, settings: PullSettings, moment: datetime) -> str:
    who = f"the worker {row['worker']}"
    if (moment - row["seen_at"]).total_seconds() >= settings.lease:
        return f"{who} said nothing for {settings.lease:g} s"
    if row["began_at"] is None:
        return f"{who} did not begin within {settings.begin_within:g} s"
    return f"{who} did not finish within {settings.finish_within:g} s"


async def _tell(work: Work, journey: Journey | None, row: Record, reason: Reason, message: str) -> None:
    if journey is None or not await tasks.is_present(work.connection, journey.row, row):
        return
    if row["of_array"]:
        await tasks.close(work, journey, row, reason, message)
        return
    code = journey.row["exit_code"] if reason is Reason.EXITED else None
    end = AttemptEnd(attempt=row["attempt"], reason=reason, exit_code=code, message=message)
    work.defer(TEMPORAL_SINK, f"signal/{row['workload_id']}", Signal(ended=end))
