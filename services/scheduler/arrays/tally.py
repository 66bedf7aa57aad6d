"""Counts an array's tasks within one transaction, and tells what moved as one event."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.events import WorkloadTasksMoved
from contracts.holdings import Allocation
from contracts.model import now
from contracts.tasks import TaskCounts, TaskFact, TaskGroup, TaskState
from services.chassis.unit import Work
from services.scheduler.journey import Journey

__all__ = ["Tally"]


class Tally:
    """The counts of one array."""

    def __init__(self, work: Work, journey: Journey) -> None:
        self._work = work
        self._journey = journey
        self._counts: dict[str, int] = TaskCounts.model_validate(journey.row["tasks"], extra="ignore").model_dump()

    @property
    def counts(self) -> TaskCounts:
        """Return the counts as they are now."""
        return TaskCounts.model_validate(self._counts)

    def move(self, old: TaskState, new: TaskState, many: int = 1) -> None:
        """Count tasks that go from one state to another."""
        self._counts[old.value] -= many
        self._counts[new.value] += many

    def tell(
        self,
        *,
        facts: Sequence[TaskFact] = (),
        groups: Sequence[TaskGroup] = (),
        bundle: int | None = None,
        allocation: Allocation | None = None,
        canceling: str = "",
    ) -> None:
        """Announce what moved since the last time, and keep the counts with the workload."""
        self._counts["batch"] += 1
        row = self._journey.row
        self._journey.note(tasks=dict(self._counts))
        self._work.send(
            WorkloadTasksMoved(
                workload_id=row["id"],
                owner=row["owner"],
                project=row["project"],
                revision=row["revision"],
                batch=self._counts["batch"],
                at=now(),
                bundle=bundle,
                allocation=allocation,
                tasks=list(facts),
                groups=list(groups),
                canceling=canceling,
                counts=self.counts,
            )
        )
