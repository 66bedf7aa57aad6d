"""What owners wish of the tasks of an array: end some of them, run the failed ones again."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.arrays import ArraySpec
from contracts.errors import ConflictError, InvalidError
from contracts.model import now
from contracts.ranges import Ranges
from contracts.spec import JobSpec
from contracts.tasks import TaskState
from services.chassis.unit import Work
from services.scheduler.journey import Journey
from services.scheduler.records import Record

from . import store
from .handing import withdraw
from .tally import Tally

__all__ = ["cancel_tasks", "read_tasks", "spec_of_failed"]

_MANY = 200_000


def read_tasks(text: str, array: ArraySpec) -> Ranges:
    """Read the numbers of tasks, or refuse those that the array does not have."""
    try:
        wanted = Ranges.parse(text)
    except ValueError as error:
        raise InvalidError.of("tasks", str(error)) from error
    known = array.tasks
    if len(wanted & known) != len(wanted):
        raise InvalidError.of("tasks", f"not all of {text[:60]} are tasks of this array, which has {str(known)[:60]}")
    return wanted


async def cancel_tasks(work: Work, journey: Journey, wanted: Ranges) -> str:
    """Cancel those of *wanted* that wait, note that the others are to end, and return these."""
    row, connection = journey.row, work.connection
    tally, groups = Tally(work, journey), await withdraw(connection, journey.row, wanted, now())
    running = [item for item in await store.tasks_in_hand(connection, row["id"]) if item["index"] in wanted]
    for item in running:
        item["canceling"] = True
    await store.change_tasks(connection, running)
    if not (groups or running):
        raise ConflictError("these tasks have ended already")
    tally.move(TaskState.PENDING, TaskState.CANCELED, sum(group.size for group in groups))
    ending = str(Ranges.of(item["index"] for item in running))
    tally.tell(groups=groups, canceling=ending)
    await journey.save()
    return ending


async def spec_of_failed(connection: AsyncConnection, row: Record, spec: JobSpec) -> JobSpec:
    """Return the spec of an array that runs the failed and lost tasks of this one."""
    if spec.array is None:
        raise InvalidError.of("tasks", f"{row['id']} is no array")
    states = [TaskState.FAILED.value, TaskState.LOST.value]
    found = await store.page_of_tasks(connection, row["id"], states, 0, _MANY)
    if not found:
        raise ConflictError(f"no task of {row['id']} has failed")
    only = str(Ranges.of(item["index"] for item in found))
    return spec.model_copy(update={"array": spec.array.model_copy(update={"only": only})})
