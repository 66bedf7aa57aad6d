"""Rows to models: the one place that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import RowMapping

from contracts.glances import Glance
from contracts.model import Model, rfc3339
from contracts.runs import FrozenInput
from contracts.spec import Input
from contracts.workloads import Transition, Workload

from .inputs import left_to_freeze

__all__ = ["Record", "inputs_of", "to_glance", "to_json", "to_transition", "to_workload", "with_inputs"]

Record = dict[str, Any]
"""A row of `workloads`, as a transaction reads and changes it."""

_FIELDS = tuple(Workload.model_fields)
_GLANCED = tuple(Glance.model_fields)
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


def with_inputs(row: RowMapping | Record, inputs: list[FrozenInput]) -> Record:
    """Return what of a row is another when these are the inputs."""
    named = [Input(source=item.source, path=item.target) for item in inputs]
    named += left_to_freeze(to_workload(row).spec, inputs)
    return {"spec": {**row["spec"], "inputs": _written(named)}, "inputs": _written(inputs)}


def to_glance(row: RowMapping) -> bytes:
    """Return the few facts of a workload that a list shows, written."""
    return orjson.dumps({name: row[name] for name in _GLANCED}, default=_moment, option=_AS_WE_WRITE)


def _written(items: Sequence[Model]) -> list[dict[str, Any]]:
    return [item.model_dump(mode="json") for item in items]


def inputs_of(row: RowMapping | Record) -> list[FrozenInput]:
    """Return the frozen inputs."""
    return _INPUTS.validate_python(row["inputs"], extra="ignore")
