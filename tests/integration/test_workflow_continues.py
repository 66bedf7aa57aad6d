"""A long-lived workflow goes on in a fresh history and forgets nothing; on a real Temporal."""

from __future__ import annotations

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from contracts.states import WorkloadState
from services.scheduler.settings import TemporalSettings
from services.scheduler.temporal import connect
from services.scheduler.worker import workflow_runner
from services.scheduler.workflows.job import JobWorkflow
from services.scheduler.workflows.rules import STATE
from tests.support.calls import live_long


@pytest.mark.asyncio(loop_scope="session")
async def test_attempts_go_on_over_several_histories_and_count_as_one_life(temporal: str) -> None:
    client = await connect(TemporalSettings(address=temporal))
    result, calls, histories = await live_long(client)
    assert calls.handle is not None
    seen = (await calls.handle.describe()).typed_search_attributes
    assert (result.state, result.attempts, calls.attempts) == (WorkloadState.SUCCEEDED, 6, [1, 2, 3, 4, 5, 6])
    assert len(histories) == 3
    assert seen.get(STATE) == "succeeded"
    replayer = Replayer(
        workflows=[JobWorkflow], data_converter=pydantic_data_converter, workflow_runner=workflow_runner()
    )
    for history in histories:
        await replayer.replay_workflow(history)
