"""A line of deliveries over time, with time that skips."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from deploy.local.servers import find_binary
from services.scheduler.worker import workflow_runner
from services.scheduler.workflows.webhook import DeliveryLine, HookCalls, LineInput, Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

Handle = WorkflowHandle[DeliveryLine, None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server whose time skips; one for all tests of this file."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=find_binary("temporal-test-server"), data_converter=pydantic_data_converter
    ) as environment:
        yield environment


class _Sends(HookCalls):
    """Answers with one pause after the other; *meanwhile* happens during a step."""

    def __init__(self, *pauses: float | None) -> None:
        self.pauses = list(pauses)
        self.asked: list[str] = []
        self.times: list[datetime] = []
        self.meanwhile: Callable[[int], Awaitable[None]] | None = None

    @activity.defn
    async def deliver_line(self, line: str) -> Standing:
        self.asked.append(line)
        self.times.append(activity.info().scheduled_time)
        if self.meanwhile:
            await self.meanwhile(len(self.asked))
        return Standing(pause=self.pauses.pop(0))


async def _run(environment: WorkflowEnvironment, sends: _Sends, **asked: int) -> Handle:
    name = f"hook/{uuid.uuid4().hex}"
    async with Worker(
        environment.client,
        task_queue=name,
        workflows=[DeliveryLine],
        activities=[sends.deliver_line],
        workflow_runner=workflow_runner(),
    ):
        if sends.meanwhile is not None:
            inner = sends.meanwhile
            handle = environment.client.get_workflow_handle(name)

            async def signal_once(step: int) -> None:
                if step == 1:
                    await handle.signal(DeliveryLine.more)
                await inner(step)

            sends.meanwhile = signal_once
        started = await environment.client.start_workflow(
            DeliveryLine.run,
            LineInput.model_validate({"line": "a", **asked}),
            id=name,
            task_queue=name,
            start_signal="more",
        )
        await started.result()
    return started


async def test_a_line_ends_when_nothing_is_left(environment: WorkflowEnvironment) -> None:
    sends = _Sends(None)
    await _run(environment, sends)
    assert sends.asked == ["a"]


async def test_it_waits_as_long_as_it_is_told_before_the_next_try(environment: WorkflowEnvironment) -> None:
    sends = _Sends(2.0, 3600.0, 3600.0, None)
    await _run(environment, sends)
    pauses = [later - earlier for earlier, later in pairwise(sends.times)]
    wanted = [timedelta(seconds=2), timedelta(hours=1), timedelta(hours=1)]
    assert all(want <= got <= want + timedelta(minutes=1) for want, got in zip(wanted, pauses, strict=True))


async def test_what_is_added_while_it_is_about_to_end_is_sent(environment: WorkflowEnvironment) -> None:
    async def nothing(_step: int) -> None:
        return

    sends = _Sends(None, None)
    sends.meanwhile = nothing
    await _run(environment, sends)
    assert len(sends.asked) == 2


async def test_it_goes_on_in_a_fresh_history(environment: WorkflowEnvironment) -> None:
    sends = _Sends(1.0, 1.0, 1.0, 1.0, None)
    handle = await _run(environment, sends, steps=2)
    assert len(sends.asked) == 5
    described = await environment.client.get_workflow_handle(handle.id).describe()
    assert described.run_id != handle.first_execution_run_id


async def test_somebody_who_is_in_a_hurry_cuts_a_pause_short(environment: WorkflowEnvironment) -> None:
    sends = _Sends(30 * 86400.0, None)
    name = f"hook/{uuid.uuid4().hex}"
    async with Worker(
        environment.client,
        task_queue=name,
        workflows=[DeliveryLine],
        activities=[sends.deliver_line],
        workflow_runner=workflow_runner(),
    ):
        handle = await environment.client.start_workflow(
            DeliveryLine.run, LineInput(line="a"), id=name, task_queue=name
        )
        await environment.sleep(60)
        assert len(sends.asked) == 1
        await handle.signal(DeliveryLine.hurry)
        await handle.result()
    assert len(sends.asked) == 2
    assert sends.times[1] - sends.times[0] < timedelta(days=1)
