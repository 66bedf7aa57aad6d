"""Looks after attempts that say nothing: what its backend has forgotten is lost, and gets another attempt.

Of a job's attempt only its workflow knows whether it was handed over before the look, so it looks again itself.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import Gauge

from contracts.errors import ShunterError
from contracts.model import now
from contracts.runs import run_name
from contracts.states import Reason
from services.chassis.bus import Bus
from services.chassis.unit import UnitOfWork

from .arrays.desk import ArrayDesk
from .arrays.store import change_bundle, silent_bundles
from .backends.base import NativeJob
from .backends.registry import Backends
from .context import workload_context
from .reports import has_unread
from .settings import Watch
from .store import count_by_backend, open_journey, silent_runs
from .temporal import TEMPORAL_SINK, Signal
from .workflows.words import AttemptEnd

__all__ = ["RunWatch"]

_STANDING = Gauge("shunter_workloads", "Unfinished workloads on a backend", ["backend", "state"])

log = structlog.get_logger(__name__)


class RunWatch:
    """Level-triggered: it acts on what it sees, so it may be stopped, doubled or late without harm."""

    def __init__(self, *, unit: UnitOfWork, bus: Bus, backends: Backends, desk: ArrayDesk, settings: Watch) -> None:
        self._unit = unit
        self._bus = bus
        self._backends = backends
        self._desk = desk
        self._settings = settings

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(self._settings.every)
            try:
                await self.look()
            except Exception:
                log.exception("watch.failed")

    async def look(self) -> int:
        """Look once; returns how many attempts their backend does not know."""
        since = now() - timedelta(seconds=self._settings.silence)
        async with self._unit.reading() as connection:
            silent = await silent_runs(connection, since)
            bundles = await silent_bundles(connection, since)
            standing = await count_by_backend(connection)
        _STANDING.clear()
        for (backend, state), count in standing.items():
            _STANDING.labels(backend, state).set(count)
        return sum([await self._look_up(run) for run in silent] + [await self._look_up_bundle(run) for run in bundles])

    async def _look_up(self, run: Any) -> bool:
        lost = await self._is_lost(run["backend"], NativeJob(run["id"], run["attempt"], run["native_id"] or ""))
        if lost is not None:
            await self._record(run, lost=lost)
        return lost is True

    async def _is_lost(self, name: str, job: NativeJob) -> bool | None:
        """Say whether a backend has forgotten an attempt; None if nobody can say."""
        backend = self._backends.get(name)
        if backend is None:
            return None
        try:
            if await backend.observe(job) is not None:
                return False
            # A runner keeps what has ended for a while only, and we may have been away for longer.
            return None if await has_unread(self._bus, job.workload_id, job.attempt) else True
        except ShunterError as error:
            # As long as the backend is away nothing could run in its place either.
            log.warning("watch.backend_away", backend=backend.name, detail=error.detail)
            return None

    async def _look_up_bundle(self, run: Any) -> bool:
        """Look a bundle of an array up; the tasks of a lost one are handed out again."""
        workload, bundle = run["workload_id"], run["bundle"]
        lost = await self._is_lost(run["backend"], NativeJob(workload, bundle, run_name(workload, bundle)))
        if lost is None:
            return False
        why = f"the backend {run['backend']!r} knows nothing of it any more"
        if lost and await self._desk.close(workload, bundle, Reason.LOST, why):
            log.warning("watch.lost", workload=workload, bundle=bundle)
        async with self._unit.begin(workload_context(workload)) as work:
            await change_bundle(work.connection, workload, bundle, seen_at=now())
            if lost:
                end = AttemptEnd(attempt=bundle, reason=Reason.LOST, message=why)
                work.defer(TEMPORAL_SINK, f"signal/{workload}", Signal(ended=end))
        return lost

    async def _record(self, run: Any, *, lost: bool) -> None:
        async with self._unit.begin(workload_context(run["id"])) as work:
            journey = await open_journey(work, run["id"])
            if journey is None or journey.state.is_terminal or journey.row["attempt"] != run["attempt"]:
                return
            journey.note(seen_at=now())
            await journey.save()
            if lost:
                log.warning("watch.not_found", workload=run["id"], attempt=run["attempt"])
                end = AttemptEnd(
                    attempt=run["attempt"],
                    reason=Reason.LOST,
                    message=f"the backend {run['backend']!r} knows nothing of it any more",
                )
                work.defer(TEMPORAL_SINK, f"signal/{run['id']}", Signal(ended=end))
