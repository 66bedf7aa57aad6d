"""What the workflow of an array has done for it."""

from __future__ import annotations

from temporalio import activity

from services.scheduler.arrays.desk import ArrayDesk
from services.scheduler.workflows.calls import ArrayCalls
from services.scheduler.workflows.words import ArrayEnd, ArrayStanding, Recall

from .errors import translated_for_temporal

__all__ = ["ArrayActivities"]


class ArrayActivities(ArrayCalls):
    """The activities of arrays."""

    def __init__(self, desk: ArrayDesk) -> None:
        self._desk = desk

    @activity.defn
    @translated_for_temporal
    async def hand_out_tasks(self, workload_id: str) -> ArrayStanding:
        """Hand out as many tasks as may go now."""
        found = await self._desk.hand_out(workload_id)
        return ArrayStanding(over=found.over, pause=found.pause, backend=found.backend)

    @activity.defn
    @translated_for_temporal
    async def recall_tasks(self, workload_id: str, recall: Recall) -> None:
        """Have some tasks ended, or all."""
        await self._desk.recall(workload_id, recall.tasks)

    @activity.defn
    @translated_for_temporal
    async def conclude_array(self, workload_id: str) -> ArrayEnd:
        """Say how an array ended, of which nothing is under way any more."""
        found = await self._desk.conclude(workload_id)
        return ArrayEnd(state=found.state, reason=found.reason, message=found.message)
