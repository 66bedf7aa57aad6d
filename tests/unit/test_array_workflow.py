"""The course of an array over time, with time that skips: when it looks again, and what it says of where it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from contracts.states import Reason, WorkloadState
from services.scheduler.workflows.job import JobWorkflow
from services.scheduler.workflows.rules import BACKEND
from services.scheduler.workflows.words import ArrayEnd, ArrayStanding, AttemptEnd, AttemptRef, Cancellation, Recall
from tests.support.calls import Calls, Handle
from tests.support.skipping import running_job, skipping_time

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server whose time skips; one for all tests of this file."""
    async with skipping_time() as environment:
        yield environment


async def _placed(_handle: Handle, _ref: AttemptRef) -> None:
    """The array is placed; its tasks are handed out by calls of their own."""


class _Tables(Calls):
    """Stands for what lies in tables: how the array stands after each look."""

    def __init__(self, *standings: ArrayStanding) -> None:
        super().__init__(_placed)
        self._standings = standings
        self.looks = 0
        self.recalls: list[Recall] = []

    @property
    def all(self) -> list[Callable[..., Any]]:
        return [*super().all, self.hand_out_tasks, self.recall_tasks, self.conclude_array]

    @activity.defn
    async def hand_out_tasks(self, workload_id: str) -> ArrayStanding:  # noqa: ARG002
        self.looks += 1
        return self._standings[min(self.looks, len(self._standings)) - 1]

    @activity.defn
    async def recall_tasks(self, workload_id: str, recall: Recall) -> None:  # noqa: ARG002
        self.recalls.append(recall)

    @activity.defn
    async def conclude_array(self, workload_id: str) -> ArrayEnd:  # noqa: ARG002
        return ArrayEnd(state=WorkloadState.SUCCEEDED, reason=Reason.EXITED)


async def _backend(handle: Handle) -> str | None:
    return (await handle.describe()).typed_search_attributes.get(BACKEND)


async def _until_it_waits(handle: Handle) -> None:
    """Wait until a pause has begun: before, the server may skip it although news are on their way."""
    async with asyncio.timeout(30):
        while not any(  # noqa: ASYNC110 (a test may poll)
            event.HasField("timer_started_event_attributes") for event in (await handle.fetch_history()).events
        ):
            await asyncio.sleep(0.05)


async def test_it_looks_again_when_the_patience_of_its_backend_is_over_and_says_where_it_went(
    environment: WorkflowEnvironment,
) -> None:
    patient = ArrayStanding(over=False, pause=600.0, backend="test-1")
    moved = ArrayStanding(over=False, pause=20.0, backend="second")
    tables = _Tables(patient, moved, ArrayStanding(over=True, backend="second"))
    begun = await environment.get_current_time()
    async with running_job(environment, tables, array=True) as handle:
        result = await handle.result()
        passed = await environment.get_current_time() - begun
        assert await _backend(handle) == "second"
    assert (result.state, tables.looks, tables.attempts) == (WorkloadState.SUCCEEDED, 3, [1])
    assert timedelta(seconds=620) <= passed <= timedelta(seconds=640)


async def test_the_end_of_a_bundle_is_news_for_which_it_looks_again(environment: WorkflowEnvironment) -> None:
    tables = _Tables(ArrayStanding(over=False, backend="test-1"), ArrayStanding(over=True, backend="second"))
    async with running_job(environment, tables, array=True) as handle:
        async with asyncio.timeout(30):
            while not tables.looks:  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.02)
        await handle.signal(JobWorkflow.ended, AttemptEnd(attempt=1, reason=Reason.REFUSED))
        await handle.result()
        assert await _backend(handle) == "second"
    assert tables.looks == 2


async def test_while_no_backend_takes_work_it_looks_again_and_a_cancel_ends_that(
    environment: WorkflowEnvironment,
) -> None:
    drained = ArrayStanding(over=False, pause=10.0, backend="test-1")
    tables = _Tables(*[drained] * 3, ArrayStanding(over=True, backend="test-1"))
    async with running_job(environment, tables, array=True) as handle:
        await _until_it_waits(handle)
        await handle.signal(JobWorkflow.cancel, Cancellation(message="enough"))
        await handle.result()
        assert await _backend(handle) == "test-1"
    assert tables.recalls[0] == Recall()


async def test_older_activities_say_nothing_of_a_backend(environment: WorkflowEnvironment) -> None:
    tables = _Tables(ArrayStanding(over=False, pause=1.0), ArrayStanding(over=True))
    async with running_job(environment, tables, array=True) as handle:
        assert (await handle.result()).state is WorkloadState.SUCCEEDED
        assert await _backend(handle) == "test-1"
