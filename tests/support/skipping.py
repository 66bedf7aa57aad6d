"""The job workflow on a Temporal whose time skips, with stand-ins for its activities."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from deploy.local.servers import SEARCH_ATTRIBUTES, find_binary
from services.scheduler.worker import workflow_runner
from services.scheduler.workflows.job import JobWorkflow
from services.scheduler.workflows.words import JobInput

from .calls import Calls, Handle

__all__ = ["running_job", "skipping_time"]


@asynccontextmanager
async def skipping_time() -> AsyncIterator[WorkflowEnvironment]:
    """Run a Temporal server whose time skips."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=find_binary("temporal-test-server"), data_converter=pydantic_data_converter
    ) as environment:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace="default", search_attributes=dict.fromkeys(SEARCH_ATTRIBUTES, keyword))
        )
        yield environment


@asynccontextmanager
async def running_job(environment: WorkflowEnvironment, calls: Calls, **job: object) -> AsyncIterator[Handle]:
    """Start the workflow of a job; what it has done for it, *calls* do."""
    name = f"job-{uuid.uuid4().hex}"
    async with Worker(
        environment.client,
        task_queue=name,
        workflows=[JobWorkflow],
        activities=calls.all,
        workflow_runner=workflow_runner(),
    ):
        calls.handle = environment.client.get_workflow_handle_for(JobWorkflow.run, name)
        # Time skips while one awaits the result of the handle that `start_workflow` returns, and only of that.
        yield await environment.client.start_workflow(
            JobWorkflow.run,
            JobInput.model_validate({"workload_id": name, "walltime": 60.0, **job}),
            id=name,
            task_queue=name,
        )
