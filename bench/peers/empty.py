"""Workflows that do nothing, on the Temporal of a stack: what there is to be had."""

from __future__ import annotations

import asyncio
import time
import uuid

import yaml
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.support.stack import Stack

__all__ = ["EmptyWorkflow", "empty_workflows"]

_QUEUE = "bench-empty"


@workflow.defn(name="empty")
class EmptyWorkflow:
    """Begins and ends."""

    @workflow.run
    async def run(self) -> None:
        """Do nothing."""


async def empty_workflows(stack: Stack, count: int) -> float:
    """Run *count* of them, 50 at a time; returns workflows per second."""
    found = yaml.safe_load((stack.data / "shunter.yaml").read_text())["scheduler"]["temporal"]
    client = await Client.connect(found["address"], namespace=found["namespace"])
    gate = asyncio.Semaphore(50)

    async def one() -> None:
        async with gate:
            await client.execute_workflow(EmptyWorkflow.run, id=f"empty-{uuid.uuid4().hex}", task_queue=_QUEUE)

    runner = UnsandboxedWorkflowRunner()
    async with Worker(client, task_queue=_QUEUE, workflows=[EmptyWorkflow], workflow_runner=runner):
        await asyncio.gather(*(one() for _ in range(count // 4)))
        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(count)))
        return count / (time.perf_counter() - began)
