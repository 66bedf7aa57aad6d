"""A glance at workloads: the few facts that lists show, for hundreds at once."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from .ids import WorkloadId
from .model import Model, Timestamp
from .principals import Principal
from .query import Query
from .states import WorkloadState

__all__ = ["Glance", "GlancePage", "GlanceWorkloads"]


class Glance(Model):
    """A workload without what it is made of and what it left behind."""

    id: WorkloadId
    owner: str
    project: str | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    state: WorkloadState
    attempt: int
    backend: str | None = None
    exit_code: int | None = None
    cancel_requested: bool = False
    revision: int
    created_at: Timestamp
    updated_at: Timestamp
    started_at: Timestamp | None = None


class GlancePage(Model):
    """Some workloads, newest first."""

    items: list[Glance]
    next_cursor: str | None = None


class GlanceWorkloads(Query):
    """Give me the few facts of the workloads that the principal may see."""

    name: ClassVar[str] = "workload.glance"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = GlancePage

    principal: Principal
    limit: int = Field(default=1000, ge=1, le=1000)
    cursor: str | None = None
    ids: list[WorkloadId] = Field(default=[], max_length=100)
    """Only these, as far as there are any."""
    has_label: str | None = Field(default=None, max_length=64)
    """Only those that have a label of this name."""
