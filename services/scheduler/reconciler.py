"""Makes the table and Temporal agree, whichever was lost or restored. Level-triggered: it acts on what is."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from nats.js.errors import NotFoundError
from pydantic import ValidationError
from sqlalchemy import func, select, update
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from contracts.ids import message_id
from contracts.model import now
from contracts.runs import RunReport, StepName
from contracts.states import TERMINAL, Reason, WorkloadState
from contracts.subjects import report_subject
from services.chassis.bus import Bus, Delivery
from services.chassis.errors import translated
from services.chassis.unit import UnitOfWork

from .arrays.store import silent_bundles
from .context import workload_context
from .entrance import start_of
from .records import Record, to_workload
from .reports import ReportService
from .settings import Watch
from .store import find
from .tables import METADATA, transitions, workloads
from .temporal import TEMPORAL_SINK, StartJob, TemporalSink
from .workflows.words import Cancellation, Carried

__all__ = ["Reconciler"]

_ON_BACKEND = (WorkloadState.QUEUED, WorkloadState.STARTING, WorkloadState.RUNNING, WorkloadState.FINISHING)
_BEFORE = (WorkloadState.ACCEPTED, WorkloadState.HELD, WorkloadState.STAGING)
_UNFINISHED = tuple(state.value for state in WorkloadState if state not in TERMINAL)
_BLAMELESS = (Reason.LOST.value, Reason.INTERRUPTED.value)
_OUTBOX = METADATA.tables["outbox"]
_ID = "start/"

log = structlog.get_logger(__name__)


class Reconciler:
    """Starts workflows that are missing, ends those whose workload has ended, repeats words that got lost."""

    def __init__(
        self,
        *,
        unit: UnitOfWork,
        bus: Bus,
        sink: TemporalSink,
        reports: ReportService,
        settings: Watch,
    ) -> None:
        self._unit = unit
        self._bus = bus
        self._sink = sink
        self._reports = reports
        self._settings = settings
        self._settled = timedelta(seconds=settings.settled)
        self._begun = False

    async def run(self) -> None:
        """Compare at the start, then again and again, until cancelled."""
        while True:
            try:
                if self._sink.client is not None:
                    await self.look(self._sink.client)
            except Exception:
                log.exception("reconciler.failed")
            await asyncio.sleep(self._settings.compare if self._begun else 0.5)

    async def look(self, client: Client) -> None:
        """Compare once."""
        # Names first, rows after: what ends in between is in the names, and its row says so.
        query = f'ExecutionStatus="Running" AND WorkflowType="job" AND TaskQueue="{self._sink.task_queue}"'
        running = {item.id async for item in client.list_workflows(query)}
        wanted = await self._wanted(everything=not self._begun)
        for workload in wanted - running:
            await self._start_if_missing(client, workload)
        for workload in running - wanted:
            await self._end_if_over(client, workload)
        for workload, number in await self._unheard():
            await self._hear_again(workload, number)
        if not self._begun:
            await self._repeat_signals()
        self._begun = True

    async def _wanted(self, *, everything: bool) -> set[str]:
        """Return the workloads that must have a workflow: those on a backend, and those that were let go."""
        async with self._unit.reading() as connection:
            on_backend = await connection.execute(select(workloads.c.id).where(workloads.c.state.in_(_ON_BACKEND)))
            wanted = set(on_backend.scalars())
            if everything:
                before = select(_ID + workloads.c.id).where(workloads.c.state.in_(_BEFORE))
                sent = select(_OUTBOX.c.subject).where(
                    _OUTBOX.c.sink == TEMPORAL_SINK, _OUTBOX.c.sent_at.is_not(None), _OUTBOX.c.subject.in_(before)
                )
                wanted |= {subject.removeprefix(_ID) for subject in (await connection.execute(sent)).scalars()}
        return wanted

    # --- the workflow is missing --------------------------------------------------------------------------------

    async def _start_if_missing(self, client: Client, workload: str) -> None:
        if await _is_running(client, workload):
            return
        async with self._unit.reading() as connection:
            row = await find(connection, workload)
            blameless = select(func.count(transitions.c.attempt.distinct())).where(
                transitions.c.workload_id == workload, transitions.c.reason.in_(_BLAMELESS)
            )
            lost = int((await connection.execute(blameless)).scalar_one())
        if row is None or not self._stands_still(row):
            return
        log.warning("reconciler.started_again", workload=workload, state=row["state"], attempt=row["attempt"])
        await self._sink.start_again(_again(row, lost), row["state"])

    def _stands_still(self, row: Record) -> bool:
        return row["state"] in _UNFINISHED and row["updated_at"] < now() - self._settled

    # --- the workload has ended, or never was -------------------------------------------------------------------

    async def _end_if_over(self, client: Client, workload: str) -> None:
        async with self._unit.reading() as connection:
            row = await find(connection, workload)
        if row is not None and (row["state"] in _UNFINISHED or row["updated_at"] > now() - self._settled):
            return
        why = f"the workload is {row['state']}" if row else "the workload is unknown to table and event log"
        log.warning("reconciler.terminated", workload=workload, why=why)
        try:
            await client.get_workflow_handle(workload).terminate(reason=why)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    # --- a word got lost ----------------------------------------------------------------------------------------

    async def _unheard(self) -> list[tuple[str, int]]:
        """Return attempts that have exited, and bundles that are silent, whose end may have got lost on its way."""
        since = now() - 2 * self._settled
        statement = select(workloads.c.id, workloads.c.attempt).where(
            workloads.c.state == WorkloadState.FINISHING.value,
            workloads.c.updated_at < since,
            workloads.c.tasks.is_(None),
        )
        async with self._unit.reading() as connection:
            exited = [(row.id, row.attempt) for row in await connection.execute(statement.limit(200))]
            silent = await silent_bundles(connection, since, limit=200)
        return exited + [(bundle["workload_id"], bundle["bundle"]) for bundle in silent]

    async def _hear_again(self, workload: str, number: int) -> None:
        """Take the last report of an attempt or a bundle again, if it is the last one: reports are kept for a day."""
        try:
            with translated("the reports"):
                kept = await self._bus.jetstream.get_last_msg("RUNS", report_subject(workload, number))
            report = RunReport.model_validate_json(kept.data or b"", extra="ignore")
        except (NotFoundError, ValidationError):
            return
        if report.steps[-1].step is StepName.DONE:
            log.warning("reconciler.heard_again", workload=workload, attempt=number)
            await self._reports.take(report, Delivery(f"again-{message_id()}", workload_context(workload)))

    async def _repeat_signals(self) -> None:
        """Say once more what workflows were told that go on: Temporal may be older than the table. It is harmless."""
        going_on = select("signal/" + workloads.c.id).where(workloads.c.state.in_(_UNFINISHED))
        said = select(_OUTBOX.c.id).where(
            _OUTBOX.c.sink == TEMPORAL_SINK, _OUTBOX.c.sent_at.is_not(None), _OUTBOX.c.subject.in_(going_on)
        )
        async with self._unit.reading() as connection:
            ids = list((await connection.execute(said)).scalars())
        for begin in range(0, len(ids), 500):
            some = ids[begin : begin + 500]
            async with self._unit.begin(workload_context("reconciler")) as work:
                await work.connection.execute(update(_OUTBOX).where(_OUTBOX.c.id.in_(some)).values(sent_at=None))


async def _is_running(client: Client, workload: str) -> bool:
    try:
        seen = await client.get_workflow_handle(workload).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return seen.status is WorkflowExecutionStatus.RUNNING


def _again(row: Record, blameless: int) -> StartJob:
    """Return a start that goes on where the workload stands: an attempt that was handed over is waited for."""
    on_backend = row["state"] in _ON_BACKEND
    message = "canceled before the workflow was lost"
    carried = Carried(
        attempt=row["attempt"],
        blameless=min(blameless, row["attempt"] - 1),
        submitted=on_backend,
        running=row["attempt"] if row["state"] == WorkloadState.RUNNING else 0,
        cancellation=Cancellation(message=message) if row["cancel_requested"] else None,
    )
    start = start_of(row, to_workload(row).spec)
    known = {
        "hold": row["state"] == WorkloadState.HELD,
        "carried": carried if on_backend or row["cancel_requested"] else None,
    }
    return start.model_copy(update={"job": start.job.model_copy(update=known)})
