"""Figures of runners, held to what can be: one broken meter or clock must not stop a workload, nor spoil the ledger."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from contracts.holdings import TAIL
from contracts.model import now
from contracts.runs import Step
from contracts.tasks import TaskFact
from contracts.workloads import Allocation, Usage

__all__ = ["plausible"]

_MOST = 2.0**53
"""No figure is larger: beyond it a float counts no longer in ones."""

_AHEAD = timedelta(minutes=5)
"""How far the clock of a node may go before ours; more would hold every later move of the workload back."""

_LONGEST = 2000
"""Characters of a message that are kept."""

_MOST_GPUS = 1024

_UNPRINTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no line of text holds; some stores take none of it."""


def plausible(step: Step) -> Step:
    """Return *step* with every figure inside its bounds."""
    return step.model_copy(
        update={
            "at": _moment(step.at),
            "exit_code": step.exit_code if step.exit_code is None or -255 <= step.exit_code <= 255 else None,
            "message": step.message[:_LONGEST],
            "tail": _UNPRINTED.sub("", step.tail)[-TAIL:],
            "usage": None if step.usage is None else _usage(step.usage),
            "tasks": [_fact(fact) for fact in step.tasks],
            "allocation": None if step.allocation is None else _allocation(step.allocation),
        }
    )


def _fact(fact: TaskFact) -> TaskFact:
    code = fact.exit_code
    return fact.model_copy(
        update={
            "message": fact.message[:_LONGEST],
            "exit_code": code if code is None or -255 <= code <= 255 else None,
            "started_at": fact.started_at and _moment(fact.started_at),
            "finished_at": fact.finished_at and _moment(fact.finished_at),
            "usage": None if fact.usage is None else _usage(fact.usage),
        }
    )


def _moment(at: datetime) -> datetime:
    present = now()
    return at if at <= present + _AHEAD else present


def _number(value: float) -> float:
    return min(max(value, 0), _MOST) if math.isfinite(value) else 0


def _whole(value: float) -> int:
    return int(_number(value))


def _usage(usage: Usage) -> Usage:
    return usage.model_copy(
        update={
            "wall_seconds": _number(usage.wall_seconds),
            "cpu_seconds": _number(usage.cpu_seconds),
            "memory_peak": None if usage.memory_peak is None else _whole(usage.memory_peak),
            "gpu_seconds": _number(usage.gpu_seconds),
            "gpu_memory_peak": _whole(usage.gpu_memory_peak),
        }
    )


def _allocation(room: Allocation) -> Allocation:
    return room.model_copy(
        update={
            "cpus": _number(room.cpus),
            "memory": _whole(room.memory),
            "gpus": min(_whole(room.gpus), _MOST_GPUS),
            "gpu_indices": [index for index in room.gpu_indices if 0 <= index <= _MOST_GPUS][:_MOST_GPUS],
        }
    )
