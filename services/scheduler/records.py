"""Rows to models: the one place that knows both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import RowMapping

from contracts.model import rfc3339
from contracts.runs import FrozenInput
from contracts.workloads import Transition, Workload

__all__ = ["Record", "inputs_of", "to_json", "to_transition", "to_workload"]

Record = dict[str, Any]
"""A row of `workloads`, as a transaction reads and changes it."""

_FIELDS = tuple(Workload.model_fields)
_AS_WE_WRITE = orjson.OPT_PASSTHROUGH_DATETIME
_INPUTS = TypeAdapter(list[FrozenInput])


def to_workload(row: RowMapping | Record) -> Workload:
    """Return the record as its owner sees it."""
    return Workload.model_validate({name: row[name] for name in _FIELDS}, extra="ignore")


def to_json(row: RowMapping | Record) -> bytes:
    """Return the same, written: what a row holds was checked before it was kept."""
    return orjson.dumps({name: row[name] for name in _FIELDS}, default=_moment, option=_AS_WE_WRITE)


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"a {type(value).__name__} in a row of workloads")


def to_transition(row: RowMapping) -> Transition:
    """Return one move."""
    return Transition.model_validate({name: row[name] for name in Transition.model_fields}, extra="ignore")


def inputs_of(row: RowMapping | Record) -> list[FrozenInput]:
    """Return the frozen inputs."""
    return _INPUTS.validate_python(row["inputs"], extra="ignore")
