"""Decides what becomes of a task whose attempt has ended: pure, so that it can be tested without anything."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.states import Reason
from contracts.tasks import TaskFact, TaskState

__all__ = ["Retrying", "Standing", "Verdict", "backoff_before", "judge"]

_LOST_ATTEMPTS = 5
"""How many attempts of a task may get lost through no fault of its own."""

_REPEATS = frozenset({Reason.REFUSED, Reason.STAGING})
"""Ends that another attempt would only repeat."""

_LONGEST_BACKOFF = 3600.0


@dataclass(frozen=True, slots=True)
class Retrying:
    """What the job's owner wishes for failed tasks."""

    max: int = 0
    backoff: float = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What matters of a task that runs."""

    attempt: int
    blameless: int = 0
    """Attempts that ended through no fault of the task."""
    canceling: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of it."""

    state: TaskState
    again: bool = False
    blameless: int = 0
    pause: float = 0.0
    """Seconds before the next attempt, if there is one."""


def backoff_before(attempt: int, first: float) -> float:
    """Return the seconds of pause before *attempt*, the second one being the first that waits."""
    return min(first * 2.0 ** min(max(0, attempt - 2), 20), _LONGEST_BACKOFF)


def judge(fact: TaskFact, task: Standing, retrying: Retrying) -> Verdict:
    """Say what becomes of a task after an attempt that ended as *fact* says."""
    if fact.state is TaskState.SUCCEEDED:
        return Verdict(TaskState.SUCCEEDED, blameless=task.blameless)
    if fact.state is TaskState.FAILED:
        return _failed(fact, task, retrying)
    if task.canceling:
        return Verdict(TaskState.CANCELED, blameless=task.blameless)
    # Nobody asked for its end: the runner was stopped, or its bundle was taken back for the sake of another task.
    blameless = task.blameless + 1
    return Verdict(TaskState.LOST, again=blameless <= _LOST_ATTEMPTS, blameless=blameless)


def _failed(fact: TaskFact, task: Standing, retrying: Retrying) -> Verdict:
    used = task.attempt - task.blameless
    if task.canceling or fact.reason in _REPEATS or used > retrying.max:
        return Verdict(TaskState.FAILED, blameless=task.blameless)
    pause = backoff_before(used + 1, retrying.backoff)
    return Verdict(TaskState.FAILED, again=True, blameless=task.blameless, pause=pause)
