"""Calls about the tasks of arrays."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.queries import TaskPage
from contracts.tasks import Task, TaskState
from shunter.models import TaskLogPage

from .call import Call, params_of, path_of, reads

__all__ = ["get_task", "get_task_log", "list_task_logs", "list_tasks"]

_JOBS = "v1/jobs"


def list_tasks(
    job_id: str, states: Sequence[TaskState] = (), *, limit: int = 100, cursor: str | None = None
) -> Call[TaskPage]:
    """List a page of the tasks of an array, by their number."""
    params = params_of(state=[state.value for state in states], limit=limit, cursor=cursor)
    return Call("GET", path_of(_JOBS, job_id, "tasks"), reads(TaskPage), params)


def get_task(job_id: str, index: int) -> Call[Task]:
    """Get one task of an array."""
    return Call("GET", path_of(_JOBS, job_id, "tasks", str(index)), reads(Task))


def get_task_log(job_id: str, index: int, *, stream: str = "stdout", attempt: int | None = None) -> Call[bytes]:
    """Get what a task has printed, once it has ended."""
    params = params_of(stream=stream, attempt=attempt)
    path = path_of(_JOBS, job_id, "tasks", str(index), "logs")
    return Call("GET", path, lambda response: response.content, params, hold=270.0)


def list_task_logs(
    job_id: str, states: Sequence[TaskState] = (), *, limit: int = 100, cursor: str | None = None
) -> Call[TaskLogPage]:
    """List a page of what the tasks of an array printed."""
    params = params_of(state=[state.value for state in states], limit=limit, cursor=cursor)
    return Call("GET", path_of(_JOBS, job_id, "task-logs"), reads(TaskLogPage), params)
