"""Questions about batches and schedules."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from .batches import Batch, BatchId
from .model import Model
from .principals import Principal
from .query import Query
from .schedules import Schedule, ScheduleId

__all__ = ["BatchPage", "GetBatch", "GetSchedule", "ListBatches", "ListSchedules", "SchedulePage"]


class GetBatch(Query):
    """Give me one batch with its jobs."""

    name: ClassVar[str] = "batch.get"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Batch

    principal: Principal
    batch_id: BatchId


class BatchPage(Model):
    """Some batches, newest first, without their jobs."""

    items: list[Batch]
    next_cursor: str | None = None


class ListBatches(Query):
    """Give me a page of the batches that the principal may see."""

    name: ClassVar[str] = "batch.list"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = BatchPage

    principal: Principal
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str | None = None
    owner: str | None = None
    batch_name: str | None = None


class GetSchedule(Query):
    """Give me one schedule, with what it will do next and did last."""

    name: ClassVar[str] = "schedule.get"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Schedule

    principal: Principal
    schedule_id: ScheduleId


class SchedulePage(Model):
    """Some schedules, newest first."""

    items: list[Schedule]
    next_cursor: str | None = None


class ListSchedules(Query):
    """Give me a page of the schedules that the principal may see."""

    name: ClassVar[str] = "schedule.list"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = SchedulePage

    principal: Principal
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str | None = None
    owner: str | None = None
    schedule_name: str | None = None
