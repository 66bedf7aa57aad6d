"""Sees the tasks of an array through. What is handed out when lies in tables; the workflow says when to look again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from .calls import ArrayCalls
    from .words import ArrayEnd, ArrayStanding, Recall

__all__ = ["ArrayCourse"]

_PATIENT = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=30))
_STEP = timedelta(minutes=2)
"""One try of a step; handing out a hundred thousand tasks is several."""
_LONG_BACKOFF = timedelta(minutes=10)
_ASK_AGAIN = timedelta(seconds=20)
"""The pause after which a backend that promised to end tasks is asked again."""


class ArrayCourse:
    """The part of a job's workflow that only arrays have."""

    def __init__(self, workload_id: str) -> None:
        self._workload_id = workload_id
        self._recalls: deque[Recall] = deque()
        self._news = 0

    def tell(self, recall: Recall | None = None) -> None:
        """Note that something happened; called by signals."""
        self._news += 1
        if recall is not None and recall.tasks:
            self._recalls.append(recall)

    async def run(
        self, is_canceled: Callable[[], bool], continue_anew: Callable[[], None], goes_to: Callable[[str], None]
    ) -> ArrayEnd:
        """Hand out tasks until all have ended."""
        while True:
            seen, canceled = self._news, is_canceled()
            await self._recall(canceled=canceled)
            standing = await self._hand_out()
            if standing.backend is not None:
                goes_to(standing.backend)
            if standing.over:
                return await self._conclude()
            if workflow.info().is_continue_as_new_suggested() and not self._recalls:
                continue_anew()
            pause = _ASK_AGAIN if canceled else None if standing.pause is None else timedelta(seconds=standing.pause)
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda seen=seen, canceled=canceled: self._news != seen or is_canceled() != canceled,  # type: ignore[misc]
                    timeout=pause,
                )

    async def _recall(self, *, canceled: bool) -> None:
        if canceled:
            self._recalls.clear()
            await self._call_recall(Recall())
        while self._recalls:
            await self._call_recall(self._recalls.popleft())

    async def _call_recall(self, recall: Recall) -> None:
        await workflow.execute_local_activity_method(
            ArrayCalls.recall_tasks,
            args=[self._workload_id, recall],
            start_to_close_timeout=_STEP,
            retry_policy=_PATIENT,
            local_retry_threshold=_LONG_BACKOFF,
        )

    async def _hand_out(self) -> ArrayStanding:
        standing: ArrayStanding = await workflow.execute_local_activity_method(
            ArrayCalls.hand_out_tasks,
            self._workload_id,
            start_to_close_timeout=_STEP,
            retry_policy=_PATIENT,
            local_retry_threshold=_LONG_BACKOFF,
        )
        return standing

    async def _conclude(self) -> ArrayEnd:
        end: ArrayEnd = await workflow.execute_local_activity_method(
            ArrayCalls.conclude_array,
            self._workload_id,
            start_to_close_timeout=_STEP,
            retry_policy=_PATIENT,
            local_retry_threshold=_LONG_BACKOFF,
        )
        return end
