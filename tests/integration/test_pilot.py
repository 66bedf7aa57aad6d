"""The pilot, started as a cluster starts it, on the oldest Python that it must run on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.runs import StepName
from contracts.states import Reason
from services.chassis.settings import NatsSettings
from tests.support.pilots import Cluster, Work, old_python, open_work, pilots
from tests.support.runners import a_task


@pytest_asyncio.fixture
async def work(nats: NatsSettings) -> AsyncIterator[Work]:
    async with open_work(nats) as found:
        yield found


@pytest.fixture
def cluster(nats: NatsSettings, tmp_path: Path) -> Iterator[Cluster]:
    with pilots(tmp_path, nats.url, old_python()) as found:
        yield found


async def test_a_task_is_run_and_told(work: Work, cluster: Cluster) -> None:
    task = a_task("sh", "-c", "exit 3")
    work.tasks.append(task)
    process = cluster.start()
    done = await work.desk.until(task, StepName.DONE)
    assert await cluster.ended(process) == 0, cluster.said
    assert [step.step for step in work.desk.steps(task)] == [StepName.RUNNING, StepName.EXITED, StepName.DONE]
    assert (done.reason, done.exit_code, done.message) == (Reason.EXITED, 3, "exited with 3")
