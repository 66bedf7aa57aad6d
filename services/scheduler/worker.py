"""The Temporal worker of the scheduler."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from .activities.array import ArrayActivities
from .activities.job import JobActivities
from .workflows.job import JobWorkflow

__all__ = ["make_worker", "workflow_runner"]

_CACHED = 300
"""Workflows kept in memory; the rest are read again from their history when something happens to them."""


def workflow_runner() -> SandboxedWorkflowRunner:
    """Return the sandbox: its restrictions hold, modules are shared, or each workflow would import pydantic anew."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_all_modules())


def make_worker(client: Client, task_queue: str, activities: JobActivities, arrays: ArrayActivities) -> Worker:
    """Return a worker for all workflows and activities of this service."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[JobWorkflow],
        activities=[
            *(activities.submit_attempt, activities.cancel_attempt, activities.move),
            *(arrays.hand_out_tasks, arrays.recall_tasks, arrays.conclude_array),
        ],
        workflow_runner=workflow_runner(),
        max_cached_workflows=_CACHED,
        max_concurrent_workflow_tasks=64,
        max_concurrent_local_activities=32,
        graceful_shutdown_timeout=timedelta(seconds=10),
    )
