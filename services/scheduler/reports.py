"""What runners report becomes moves at once; the end of an attempt goes on to its workflow, which decides."""

from __future__ import annotations

import structlog
from nats.js.errors import NotFoundError

from contracts.model import now
from contracts.runs import RunReport, Step, StepName
from contracts.states import Reason, WorkloadState, may_move
from contracts.subjects import report_subject
from services.chassis.bus import Bus, Delivery
from services.chassis.errors import translated
from services.chassis.unit import UnitOfWork, Work

from .arrays.reports import take_bundle_report
from .arrays.store import backend_of as backend_of_bundle
from .backends.base import NativeJob
from .backends.registry import Backends
from .context import workload_context
from .figures import plausible
from .journey import Journey
from .store import backend_of, find, open_journey
from .temporal import TEMPORAL_SINK, Signal
from .vigils import Vigil, Vigils
from .workflows.words import AttemptEnd

__all__ = ["READER", "ReportService", "has_unread", "take_step", "tell_end"]

READER = "scheduler-reports"
"""The consumer that reads what runners report."""

_STREAM = "RUNS"

_BEFORE_RUNNING = frozenset({WorkloadState.QUEUED, WorkloadState.STARTING})
_ON_BACKEND = _BEFORE_RUNNING | {WorkloadState.RUNNING}
_HANDED_OVER = _ON_BACKEND | {WorkloadState.FINISHING}
"""Where an attempt can end: it is recorded as queued before any runner hears of it."""

log = structlog.get_logger(__name__)


async def has_unread(bus: Bus, workload_id: str, attempt: int) -> bool:
    """Say whether a report of an attempt waits to be read: then it is not silent, we have not listened yet."""
    try:
        with translated("the reports"):
            last = await bus.jetstream.get_last_msg(_STREAM, report_subject(workload_id, attempt))
    except NotFoundError:
        return False
    try:
        with translated("the reports"):
            reader = await bus.jetstream.consumer_info(_STREAM, READER)
    except NotFoundError:
        return True
    return (last.seq or 0) > (reader.ack_floor.stream_seq if reader.ack_floor else 0)


class ReportService:
    """Takes reports. Repeats, stragglers of an older attempt and words after the end change nothing."""

    def __init__(self, *, unit: UnitOfWork, backends: Backends, vigils: Vigils) -> None:
        self._unit = unit
        self._backends = backends
        self._vigils = vigils

    async def take(self, report: RunReport, delivery: Delivery) -> None:
        """Handle one report."""
        stray, ending, vigil = False, None, None
        async with self._unit.handling(delivery.message_id, workload_context(report.workload_id)) as work:
            if work is None:
                return
            journey = await open_journey(work, report.workload_id)
            if journey is not None and journey.row["tasks"] is not None:
                taken = await take_bundle_report(work, journey, report)
                stray = not taken and report.steps[-1].step is not StepName.DONE
            elif journey is None or journey.state.is_terminal or journey.row["attempt"] != report.attempt:
                stray = report.steps[-1].step is not StepName.DONE
            else:
                for step in report.steps:
                    ending = take_step(work, journey, plausible(step)) or ending
                await journey.save()
            explained = journey is not None and await self._note_end(work, journey, report)
            if ending and not explained:
                vigil = self._say(work, ending, report.workload_id)
        if vigil and ending:
            vigil.tell(ending)
        if stray:
            await self._end_stray(report)

    async def _note_end(self, work: Work, journey: Journey, report: RunReport) -> bool:
        """Have the backend know that an attempt's last word was read; says whether it will tell its end itself."""
        last = report.steps[-1]
        name = journey.row["backend"]
        if journey.row["tasks"] is not None:
            name = await backend_of_bundle(work.connection, report.workload_id, report.attempt) or name
        elif journey.row["attempt"] != report.attempt:
            name = await backend_of(work.connection, report.workload_id, report.attempt)
        backend = self._backends.get(name or "")
        if last.step is not StepName.DONE or backend is None:
            return False
        job = NativeJob(report.workload_id, report.attempt, report.native_id)
        return await backend.note_end(work.connection, job, last.reason or Reason.INTERNAL)

    def _say(self, work: Work, end: AttemptEnd, workload_id: str) -> Vigil | None:
        """Have the workflow hear of the end of an attempt; returns the step that waits for it, to be told after."""
        vigil = self._vigils.find(workload_id) if end.settled else None
        if vigil is None:
            tell_end(work, workload_id, end)
            return None
        # Should nobody tell it, because we die here, it is done again and finds the workload ended.
        vigil.take()
        work.on_rollback.add(vigil.let_go)
        return vigil

    async def _end_stray(self, report: RunReport) -> None:
        """End an attempt that still runs although its workload has ended or gone on to another attempt."""
        log.warning("report.stray", workload=report.workload_id, attempt=report.attempt, runner=report.runner)
        async with self._unit.looking_up() as connection:
            row = await find(connection, report.workload_id)
            known = backend_of_bundle if row is not None and row["tasks"] is not None else backend_of
            name = await known(connection, report.workload_id, report.attempt)
        name = name or (row["backend"] if row else None)
        backend = self._backends.get(name) if name else None
        for candidate in [backend] if backend else [self._backends.require(name) for name in self._backends.names]:
            await candidate.cancel(NativeJob(report.workload_id, report.attempt, report.native_id))


def tell_end(work: Work, workload_id: str, end: AttemptEnd) -> None:
    """Have a workflow hear of the end of an attempt, by a signal."""
    work.defer(TEMPORAL_SINK, f"signal/{workload_id}", Signal(ended=end))


def take_step(work: Work, journey: Journey, step: Step) -> AttemptEnd | None:
    """Take one step of the present attempt; returns how it ended with the last, which its workflow has to hear."""
    journey.note(seen_at=now())
    match step.step:
        case StepName.STARTING if journey.state is WorkloadState.QUEUED:
            journey.move(
                WorkloadState.STARTING, at=step.at, reason=Reason.STARTED, allocation=step.allocation, phase=step.phase
            )
        case StepName.RUNNING if journey.state in _BEFORE_RUNNING:
            journey.move(
                WorkloadState.RUNNING,
                at=step.at,
                reason=Reason.STARTED,
                message=step.message,
                allocation=step.allocation,
                phase=step.phase,
            )
        case StepName.ALIVE:
            _take_sign_of_life(work, journey, step)
        case StepName.EXITED if journey.state in _ON_BACKEND:
            _finish(journey, step)
        case StepName.DONE if journey.state in _HANDED_OVER:
            return _take_end(journey, step)
        case _:
            log.info("report.late", workload=journey.row["id"], step=step.step, state=journey.state)
    return None


def _take_sign_of_life(work: Work, journey: Journey, step: Step) -> None:
    row = journey.row
    if journey.state is WorkloadState.RUNNING and row["usage"] is None:
        work.defer(TEMPORAL_SINK, f"signal/{row['id']}", Signal(runs=row["attempt"]))
    if step.phase:
        journey.note(phase=step.phase)
    if step.tail:
        journey.note(tail=step.tail)
    if step.usage is not None and journey.state in _ON_BACKEND:
        journey.note(usage=step.usage.model_dump(mode="json"))


def _finish(journey: Journey, step: Step) -> None:
    journey.move(
        WorkloadState.FINISHING,
        at=step.at,
        reason=step.reason or Reason.EXITED,
        message=step.message,
        exit_code=step.exit_code,
        usage=step.usage,
        phase=step.phase,
    )


def _take_end(journey: Journey, step: Step) -> AttemptEnd:
    if may_move(journey.state, WorkloadState.FINISHING):
        _finish(journey, step)
    row = journey.row
    if step.phase:
        journey.note(phase=step.phase)
    if step.tail:
        journey.note(tail=step.tail)
    logs = {item["path"]: item for item in row["logs"]} | {
        item.path: item.model_dump(mode="json") for item in step.logs
    }
    journey.note(
        outputs=[item.model_dump(mode="json") for item in step.outputs],
        logs=list(logs.values()),
    )
    end = AttemptEnd(
        attempt=row["attempt"],
        reason=step.reason or Reason.INTERNAL,
        exit_code=step.exit_code if step.exit_code is not None else row["exit_code"],
        message=step.message,
    )
    if end.reason is not Reason.EXITED or end.exit_code != 0:
        return end
    # Nothing is left to decide, and the workflow hears of it.
    journey.move(WorkloadState.SUCCEEDED, at=now(), reason=end.reason, message=end.message, exit_code=0)
    return end.model_copy(update={"settled": True})
