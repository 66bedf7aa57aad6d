"""The Temporal worker of the scheduler."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from .activities.array import ArrayActivities
from .activities.job import JobActivities
from .activities.schedule import ScheduleActivities
from .activities.webhook import HookActivities
from .workflows.job import JobWorkflow
from .workflows.schedule import ScheduledRun
from .workflows.webhook import DeliveryLine

__all__ = ["make_worker", "workflow_runner"]

_CACHED = 300
"""Workflows kept in memory; the rest are read again from their history when something happens to them."""


def workflow_runner() -> SandboxedWorkflowRunner:
    """Return the sandbox in which tests run workflows: its restrictions hold, modules are shared.

    The worker does without: what the sandbox forbids is found by the tests, and it is an eighth of a job's CPU here.
    """
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_all_modules())


def make_worker(
    client: Client,
    task_queue: str,
    activities: JobActivities,
    schedules: ScheduleActivities,
    arrays: ArrayActivities,
    hooks: HookActivities,
) -> Worker:
    """Return a worker for all workflows and activities of this service."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[JobWorkflow, ScheduledRun, DeliveryLine],
        activities=[
            *(activities.submit_attempt, activities.cancel_attempt, activities.withdraw_attempt),
            *(activities.look_up_attempt, activities.move),
            *(arrays.hand_out_tasks, arrays.recall_tasks, arrays.conclude_array),
            *(schedules.fire_schedule, schedules.cancel_run, schedules.is_run_over),
            hooks.deliver_line,
        ],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=_CACHED,
        # Most of them only wait for the end of a short job (`vigils`).
        max_concurrent_workflow_tasks=200,
        max_concurrent_local_activities=200,
        # After a kill the workflows go to the next worker; the server waits so long for the dead one to fetch its own.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        graceful_shutdown_timeout=timedelta(seconds=10),
    )
