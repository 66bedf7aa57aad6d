"""Writes what became of tasks: what their runner says, and what is to be said of those it says nothing of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.holdings import Usage
from contracts.model import now
from contracts.ranges import Ranges
from contracts.states import Reason
from contracts.tasks import TaskFact, TaskGroup, TaskState
from services.scheduler.records import Record

from . import store
from .tally import Tally
from .verdicts import Retrying, Standing, Verdict, judge

__all__ = ["Told", "close_bundle", "put_back", "write_facts", "write_told"]

Judge = Callable[[Record, TaskFact], Verdict]
Changed = tuple[Record, TaskState, TaskFact]
"""A task as it is now, where it stood before, and the fact as it is to be told."""

_BEFORE = {TaskState.QUEUED.value, TaskState.RUNNING.value}

_NOTHING_DONE = frozenset({TaskState.CANCELED, TaskState.LOST, TaskState.FAILED})


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told of tasks."""

    facts: list[TaskFact] = field(default_factory=list)
    groups: list[TaskGroup] = field(default_factory=list)

    def plus(self, other: Told) -> Told:
        """Return both together."""
        return Told([*self.facts, *other.facts], [*self.groups, *other.groups])


async def write_facts(
    connection: AsyncConnection,
    row: Record,
    tasks: Sequence[Record],
    facts: Sequence[TaskFact],
    tally: Tally,
    *,
    leaving: bool = False,
) -> Told:
    """Write what *facts* change of *tasks*, count it, and return what is to be told, without repeats.

    Of a bundle that is *leaving* its backend the tasks that were not begun wait as if they had never been there.
    """
    retrying = _retrying(row)
    returned = _unbegun(row, tasks, facts) if leaving else []
    groups = await put_back(connection, returned)
    tally.move(TaskState.QUEUED, TaskState.PENDING, len(returned))

    def verdict(task: Record, fact: TaskFact) -> Verdict:
        canceling = task["canceling"] or row["cancel_requested"]
        return judge(fact, Standing(task["attempt"], task["blameless"], canceling), retrying)

    changes = _change(tasks, facts, verdict)
    for _, old, fresh in changes:
        tally.move(old, fresh.new_state)
    await _save(connection, changes)
    return Told([fresh for _, _, fresh in changes], groups)


async def put_back(connection: AsyncConnection, tasks: Sequence[Record]) -> list[TaskGroup]:
    """Have tasks wait that were handed out and never begun: that was no attempt. Returns what is to be told."""
    for task in tasks:
        task.update(state=TaskState.PENDING.value, attempt=task["attempt"] - 1, not_before=None)
    await store.change_tasks(connection, list(tasks))
    indices = Ranges.of(task["index"] for task in tasks)
    return [TaskGroup(indices=str(indices), state=TaskState.PENDING)] if indices.runs else []


def _unbegun(row: Record, tasks: Sequence[Record], facts: Sequence[TaskFact]) -> list[Record]:
    """Return the tasks that are said to have ended although nothing of them was begun; nobody wants them ended."""
    said = {(fact.index, fact.attempt): fact for fact in facts if fact.state in _NOTHING_DONE and not fact.started_at}
    queued = [task for task in tasks if task["state"] == TaskState.QUEUED.value and not task["canceling"]]
    return [] if row["cancel_requested"] else [one for one in queued if (one["index"], one["attempt"]) in said]


async def write_told(
    connection: AsyncConnection, row: Record, tasks: Sequence[Record], facts: Sequence[TaskFact]
) -> None:
    """Write what was told of *tasks* once: what becomes of each was decided then."""
    retrying = _retrying(row)

    def verdict(task: Record, fact: TaskFact) -> Verdict:
        canceling = fact.state is TaskState.CANCELED
        judged = judge(fact, Standing(task["attempt"], task["blameless"], canceling), retrying)
        return replace(judged, state=fact.state, again=fact.again)

    await _save(connection, _change(tasks, facts, verdict))


def _change(tasks: Sequence[Record], facts: Sequence[TaskFact], verdict: Judge) -> list[Changed]:
    """Change *tasks* as *facts* say; repeats change nothing."""
    by_index = {task["index"]: task for task in tasks}
    changes: list[Changed] = []
    for fact in facts:
        task = by_index.get(fact.index)
        if task is None or task["attempt"] != fact.attempt or task["state"] not in _BEFORE:
            continue
        old, fresh = TaskState(task["state"]), fact
        if fact.state is TaskState.RUNNING:
            if old is TaskState.RUNNING:
                continue
            task.update(state=TaskState.RUNNING.value, started_at=fact.started_at)
        else:
            fresh = _end(task, fact, verdict(task, fact))
        changes.append((task, old, fresh))
    return changes


async def _save(connection: AsyncConnection, changes: Sequence[Changed]) -> None:
    await store.change_tasks(connection, list({task["index"]: task for task, _, _ in changes}.values()))


async def close_bundle(
    connection: AsyncConnection, row: Record, bundle: Any, tally: Tally, *, reason: Reason, message: str
) -> Told:
    """Close a bundle; what its runner told no end of has ended as *reason* says. Returns what is to be told of that."""
    left = await store.tasks_in_hand(connection, row["id"], bundle["bundle"])
    facts = [_silent_end(task, bundle, reason, message) for task in left]
    told = await write_facts(connection, row, left, facts, tally, leaving=bundle["leaving"])
    await store.change_bundle(connection, row["id"], bundle["bundle"], ended=True, seen_at=now())
    return told


def _retrying(row: Record) -> Retrying:
    wishes = row["spec"].get("retries") or {}
    return Retrying(max=int(wishes.get("max", 0)), backoff=float(wishes.get("backoff", 5.0)))


def _end(task: Record, fact: TaskFact, verdict: Verdict) -> TaskFact:
    finished = fact.finished_at or now()
    logs = [item.model_dump(mode="json") for item in fact.logs]
    task.update(
        state=(TaskState.PENDING if verdict.again else verdict.state).value,
        blameless=verdict.blameless,
        reason=fact.reason.value if fact.reason else None,
        message=fact.message,
        exit_code=fact.exit_code,
        started_at=fact.started_at or task["started_at"],
        finished_at=finished,
        not_before=finished + timedelta(seconds=verdict.pause) if verdict.again else None,
        usage=fact.usage.model_dump(mode="json") if fact.usage else None,
        outputs=[item.model_dump(mode="json") for item in fact.outputs] or None,
        logs=[*(task["logs"] or []), *logs] or None,
    )
    # Two thousand of these a second: what is copied here was checked when it was read.
    return fact.model_copy(update={"state": verdict.state, "again": verdict.again, "finished_at": finished})


def _silent_end(task: Record, bundle: Any, reason: Reason, message: str) -> TaskFact:
    """Say how a task ended of which its runner says nothing; what it held is billed up to the last sign of life."""
    usage, until = None, max(bundle["seen_at"], task["started_at"] or bundle["seen_at"])
    if task["started_at"] is not None:
        usage = Usage(wall_seconds=(until - task["started_at"]).total_seconds())
    refused = reason in {Reason.REFUSED, Reason.STAGING}
    return TaskFact(
        index=task["index"],
        attempt=task["attempt"],
        state=TaskState.FAILED if refused else TaskState.LOST,
        reason=reason,
        message=message,
        started_at=task["started_at"],
        finished_at=until if usage else now(),
        usage=usage,
    )
