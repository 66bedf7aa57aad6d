"""Workloads by their number."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from .principals import Principal
from .query import Query
from .workloads import Workload

__all__ = ["MOST_NUMBER", "FindWorkload"]

MOST_NUMBER = 2**53 - 1
"""The largest whole number that every reader of JSON understands."""


class FindWorkload(Query):
    """Give me the workload of this number."""

    name: ClassVar[str] = "workload.find"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Workload

    principal: Principal
    number: int = Field(ge=1, le=MOST_NUMBER)
