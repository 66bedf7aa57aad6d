"""Rows to models: the one place that knows both."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import RowMapping

from contracts.runs import FrozenInput
from contracts.workloads import Transition, Workload

__all__ = ["Record", "inputs_of", "to_transition", "to_workload"]

Record = dict[str, Any]
"""A row of `workloads`, as a transaction reads and changes it."""

_FIELDS = tuple(Workload.model_fields)
_INPUTS = TypeAdapter(list[FrozenInput])


def to_workload(row: RowMapping | Record) -> Workload:
    """Return the record as its owner sees it."""
    return Workload.model_validate({name: row[name] for name in _FIELDS}, extra="ignore")


def to_transition(row: RowMapping) -> Transition:
    """Return one move."""
    return Transition.model_validate({name: row[name] for name in Transition.model_fields}, extra="ignore")


def inputs_of(row: RowMapping | Record) -> list[FrozenInput]:
    """Return the frozen inputs."""
    return _INPUTS.validate_python(row["inputs"], extra="ignore")
