"""Tasks of arrays that are lent: each a bundle of one, which is fenced and told of as the attempt of a job is."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.holdings import Allocation
from contracts.model import now
from contracts.runs import RunReport, Step, StepName, run_name
from contracts.states import Reason, WorkloadState
from services.chassis.unit import Work
from services.scheduler.arrays.reports import take_bundle_report
from services.scheduler.arrays.store import change_bundle, find_bundle
from services.scheduler.figures import plausible
from services.scheduler.journey import Journey
from services.scheduler.records import Record

__all__ = ["close", "is_present", "lend", "take"]


async def is_present(connection: AsyncConnection, job: Record, row: Record) -> bool:
    """Say whether somebody waits for what is in a row: the present attempt of a job, or tasks that have not ended."""
    if WorkloadState(job["state"]).is_terminal:
        return False
    if not row["of_array"]:
        return bool(job["attempt"] == row["attempt"])
    return await find_bundle(connection, row["workload_id"], row["attempt"]) is not None


async def lend(work: Work, row: Record, room: Allocation) -> None:
    """Note the room in which tasks run; the array itself holds none."""
    values = {"allocation": room.model_dump(mode="json"), "seen_at": now()}
    await change_bundle(work.connection, row["workload_id"], row["attempt"], **values)


async def take(work: Work, journey: Journey, row: Record, steps: Sequence[Step]) -> None:
    """Take what a worker says of tasks. In which room they run was said when they were lent."""
    told = [plausible(step).model_copy(update={"allocation": None}) for step in steps]
    name = run_name(row["workload_id"], row["attempt"])
    report = RunReport(
        workload_id=row["workload_id"],
        attempt=row["attempt"],
        number=1,
        runner=row["worker"] or "",
        native_id=name,
        steps=told,
    )
    await take_bundle_report(work, journey, report)


async def close(work: Work, journey: Journey, row: Record, reason: Reason, message: str) -> None:
    """End what its worker will say no more of."""
    await take(work, journey, row, [Step(step=StepName.DONE, at=now(), reason=reason, message=message)])
