"""What the queue says of one job, by whatever way it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState, Seen

from .identity import array_of, whole_of

__all__ = ["Detail", "Row", "expand", "seen_of"]


@dataclass(eq=False, slots=True)
class Row:
    """One line of the queue: a job, a task of an array, or all tasks of an array that wait."""

    job: str
    """`7`, `7_3` or `7_[4-9,12%2]`."""
    name: str
    state: str
    """The state in Slurm's long words, such as `NODE_FAIL`."""
    status: int
    """As `wait` returns it."""
    restarts: int
    nodes: str
    reason: str
    comment: str = ""
    submitted: int = 0
    """When, in seconds since 1970; 0 where that is not told. What is put into the queue again has a new time."""
    whole: str = field(init=False)
    """What it is known by, or its array is, and no other ever was."""

    def __post_init__(self) -> None:
        self.whole = whole_of(array_of(self.job), self.submitted, self.name)

    @property
    def is_over(self) -> bool:
        """Say whether Slurm is done with it."""
        return self.state.partition(" ")[0] in _ENDINGS

    @property
    def was_refused(self) -> bool:
        """Say whether it is but the trace of a job that was refused when it was submitted."""
        return self.state == "FAILED" and self.reason == "BadConstraints" and not self.nodes


class Detail(NamedTuple):
    """What is asked for of some jobs and arrays only."""

    number: str
    submitted: int
    name: str
    comment: str


_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})

_ENDINGS: dict[str, Reason | None] = {
    "COMPLETED": None,
    "FAILED": None,
    "BOOT_FAIL": Reason.LOST,
    "CANCELLED": Reason.CANCELED,
    "DEADLINE": Reason.WALLTIME,
    "NODE_FAIL": Reason.LOST,
    "OUT_OF_MEMORY": Reason.MEMORY,
    "PREEMPTED": Reason.INTERRUPTED,
    "REVOKED": Reason.LOST,
    "TIMEOUT": Reason.WALLTIME,
}
"""Every other word is of a job that is on its nodes: RUNNING, CONFIGURING, COMPLETING, SUSPENDED, STOPPED …"""

_HOPELESS = frozenset(
    {
        "BadConstraints",
        "DependencyNeverSatisfied",
        "InvalidAccount",
        "InvalidQOS",
        "JobHoldMaxRequeue",
        "PartitionNodeLimit",
        "PartitionTimeLimit",
        "ReservationDeleted",
        "launch failed requeued held",
        "launch_failed_requeued_held",
    }
)
"""Why a job waits that will never start unless somebody changes it or the cluster."""


def expand(job: str) -> Iterator[str]:
    """Give the native ids that a line of the queue is about."""
    array, _, tasks = job.partition("_[")
    if not tasks:
        yield job
        return
    for part in tasks.partition("]")[0].partition("%")[0].split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        for index in range(int(first), int(last or first) + 1, int(step or 1)):
            yield f"{array}_{index}"


def seen_of(row: Row, name: str, native_id: str) -> Seen:
    """Say what a line of the queue means."""
    state, ending, reason = _judge(row)
    told = state is NativeState.ENDED and ending in {None, Reason.MEMORY}
    code = row.status >> 8 if not row.status & 0x7F else 128 + (row.status & 0x7F)
    return Seen(
        name=name,
        native_id=native_id,
        state=state,
        reason=reason,
        ending=ending,
        exit_code=code if told else None,
        node=row.nodes,
    )


def _judge(row: Row) -> tuple[NativeState, Reason | None, str]:
    word = row.state.partition(" ")[0]  # sacct says `CANCELLED by 0`
    said = row.reason if row.reason not in {"", "None"} else ""
    if word in _ENDINGS:
        return NativeState.ENDED, _ENDINGS[word], f"Slurm: {row.state}{f' ({said})' if said else ''}"
    if row.restarts:
        # Its pilot is given nothing any more: an attempt goes to one incarnation of its native job.
        return NativeState.ENDED, Reason.INTERRUPTED, "Slurm put it into the queue again"
    if word not in _WAITING:
        return NativeState.RUNNING, None, said
    if said in _HOPELESS:
        return NativeState.ENDED, Reason.REFUSED, f"Slurm will not start it: {said}"
    return NativeState.WAITING, None, said
