"""Takes what runners report of bundles: many tasks in one transaction and one event."""

from __future__ import annotations

from typing import Any

import structlog

from contracts.holdings import Allocation
from contracts.model import now
from contracts.runs import RunReport, Step, StepName
from contracts.states import Reason, WorkloadState
from services.chassis.unit import Work
from services.scheduler.journey import Journey
from services.scheduler.temporal import TEMPORAL_SINK, Signal
from services.scheduler.workflows.words import AttemptEnd

from . import store
from .closing import Told, close_bundle, write_facts
from .tally import Tally

__all__ = ["take_bundle_report"]

_BEFORE_RUNNING = frozenset({WorkloadState.QUEUED, WorkloadState.STARTING})

log = structlog.get_logger(__name__)


async def take_bundle_report(work: Work, journey: Journey, report: RunReport) -> bool:
    """Write one report of a bundle; False if nobody waits for that bundle any more."""
    bundle = await store.find_bundle(work.connection, report.workload_id, report.attempt)
    if bundle is None or journey.state.is_terminal:
        return False
    tally, told = Tally(work, journey), Told()
    room = Allocation.model_validate(bundle["allocation"]) if bundle["allocation"] else None
    for step in report.steps:
        room = step.allocation or room
        told = told.plus(await _take_step(work, journey, bundle, step, tally))
    values: dict[str, Any] = {"seen_at": now()}
    if room is not None and bundle["allocation"] is None:
        values["allocation"] = room.model_dump(mode="json")
    await store.change_bundle(work.connection, report.workload_id, report.attempt, **values)
    if told.facts or told.groups:
        tally.tell(facts=told.facts, groups=told.groups, bundle=report.attempt, allocation=room)
    await journey.save()
    return True


async def _take_step(work: Work, journey: Journey, bundle: Any, step: Step, tally: Tally) -> Told:
    if step.step is StepName.RUNNING and journey.state in _BEFORE_RUNNING:
        journey.move(WorkloadState.RUNNING, at=step.at, reason=Reason.STARTED)
    if step.step is StepName.TASKS:
        in_hand = await store.tasks_in_hand(work.connection, journey.row["id"], bundle["bundle"])
        leaving = bundle["leaving"]
        return await write_facts(work.connection, journey.row, in_hand, step.tasks, tally, leaving=leaving)
    if step.step is StepName.DONE:
        return await _end(work, journey, bundle, step, tally)
    return Told()


async def _end(work: Work, journey: Journey, bundle: Any, step: Step, tally: Tally) -> Told:
    reason = step.reason or Reason.INTERNAL
    number = bundle["bundle"]
    told = await close_bundle(
        work.connection, journey.row, bundle, tally, reason=reason, message=step.message or "the runner told no end"
    )
    end = AttemptEnd(attempt=number, reason=reason, message=step.message)
    work.defer(TEMPORAL_SINK, f"signal/{journey.row['id']}", Signal(ended=end))
    return told
