"""Questions about the tasks of arrays."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from .ids import WorkloadId
from .model import Model
from .principals import Principal
from .query import Query
from .tasks import Task, TaskState

__all__ = ["GetTask", "ListTasks", "TaskPage"]


class TaskPage(Model):
    """Some tasks of an array, by their number."""

    items: list[Task]
    next_cursor: str | None = None


class ListTasks(Query):
    """Give me a page of the tasks of an array."""

    name: ClassVar[str] = "task.list"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = TaskPage

    principal: Principal
    workload_id: WorkloadId
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = None
    states: list[TaskState] = []


class GetTask(Query):
    """Give me one task of an array."""

    name: ClassVar[str] = "task.get"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Task

    principal: Principal
    workload_id: WorkloadId
    index: int
