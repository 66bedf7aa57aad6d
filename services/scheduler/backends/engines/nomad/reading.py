"""How a native job stands, from what Nomad says of its job, allocations and evaluations. Nothing is asked here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState, Seen

from .words import AllocStub, Evaluation, JobStub, Metric, TaskEvent, TaskState

__all__ = ["native_id", "seen_of", "split_native_id", "why_blocked"]

_ENDED = frozenset({"complete", "failed", "lost"})
_NOT_NEEDED = "alloc not needed due to job update"
"""Nomad's word for the allocations of a job that was stopped."""
_NO_IMAGE = re.compile(r"pull|image|manifest|repository", re.IGNORECASE)
"""What a driver says where it cannot get the image; Nomad passes on no more than its words."""
_NODES_FAULT = frozenset({"Driver Failure", "Setup Failure", "Failed Restarting Task", "Failed Restore Task"})
_ITS_OWN_FAULT = frozenset({"Failed Validation", "Failed Artifact Download", "Template Failure"})
_TELLING = _NODES_FAULT | _ITS_OWN_FAULT | {"Terminated"}


def native_id(namespace: str, name: str) -> str:
    """Return by what a job is found again: its name is one in its namespace only."""
    return f"{namespace}/{name}"


def split_native_id(found: str) -> tuple[str, str]:
    """Return namespace and name; the namespace is empty if nobody has said it."""
    namespace, _, name = found.rpartition("/")
    return namespace, name


def seen_of(job: JobStub, allocs: Sequence[AllocStub], evals: Iterable[Evaluation] = ()) -> Seen:
    """Say how a job of ours stands.

    The oldest allocation decides: another comes where a node was lost or drained, and its pilot is given nothing.
    """
    if allocs:
        return _of_alloc(job, min(allocs, key=lambda alloc: alloc.create_index))
    found = native_id(job.at, job.id)
    if job.status == "dead":
        if job.stop:
            return Seen(job.id, found, NativeState.ENDED, "the job was stopped before it began", Reason.CANCELED)
        reason = f"the job is dead and Nomad has no allocation of it {job.status_description}".strip()
        return Seen(job.id, found, NativeState.ENDED, reason, Reason.LOST)
    return Seen(job.id, found, NativeState.WAITING, why_blocked(evals))


def _of_alloc(job: JobStub, alloc: AllocStub) -> Seen:
    found = native_id(job.at, job.id)
    node = alloc.node_name or alloc.node_id
    task = alloc.task_states.get("main") or next(iter(alloc.task_states.values()), TaskState())
    if alloc.client_status not in _ENDED:
        state = NativeState.WAITING if alloc.client_status == "pending" else NativeState.RUNNING
        return Seen(job.id, found, state, _latest(alloc, task), node=node)
    ending, reason = _ending(job, alloc, task)
    return Seen(job.id, found, NativeState.ENDED, reason, ending, _exit_code(task) if ending is None else None, node)


def _latest(alloc: AllocStub, task: TaskState) -> str:
    if alloc.client_status == "running":
        return ""
    if alloc.client_status == "pending":
        return task.events[-1].display_message if task.events else "its node has not begun with it"
    return alloc.client_description or f"its allocation is {alloc.client_status}"


def _ending(job: JobStub, alloc: AllocStub, task: TaskState) -> tuple[Reason | None, str]:
    telling = next((event for event in reversed(task.events) if event.type in _TELLING), None)
    if alloc.client_status == "lost":
        return Reason.LOST, alloc.desired_description or alloc.client_description or "its node was lost"
    if telling is not None and telling.type != "Terminated":
        return _failure(telling)
    if telling is not None and telling.details.get("oom_killed") == "true":
        return Reason.MEMORY, "it used more memory than it was given (OOM Killed)"
    if alloc.preempted_by_allocation or alloc.desired_status == "evict" or _was_killed(task, telling):
        return _killed(job, alloc)
    if telling is None:
        return Reason.LOST, alloc.client_description or "Nomad does not say how it ended"
    return None, telling.display_message


def _killed(job: JobStub, alloc: AllocStub) -> tuple[Reason, str]:
    if alloc.preempted_by_allocation or alloc.desired_status == "evict":
        return Reason.INTERRUPTED, alloc.desired_description or "it made room for a job of higher priority"
    if alloc.desired_description not in {"", _NOT_NEEDED}:
        return Reason.INTERRUPTED, alloc.desired_description
    return (Reason.CANCELED, "the job was stopped") if job.stop else (Reason.INTERRUPTED, "its node ended it")


def _was_killed(task: TaskState, ended: TaskEvent | None) -> bool:
    """Say whether Nomad was asked to end it before it ended by itself."""
    for event in task.events:
        if event is ended:
            return False
        if event.type in {"Killing", "Kill"}:
            return True
    return any(event.type == "Killed" for event in task.events)


def _failure(event: TaskEvent) -> tuple[Reason, str]:
    said = event.display_message or "; ".join(event.details.values())
    reason = f"{event.type}: {said}"
    if event.type in _ITS_OWN_FAULT or _NO_IMAGE.search(said):
        return Reason.REFUSED, reason
    return Reason.LOST, reason


def _exit_code(task: TaskState) -> int | None:
    codes = [event.details.get("exit_code", "") for event in task.events if event.type == "Terminated"]
    return int(codes[-1]) if codes and codes[-1].lstrip("-").isdigit() else None


def why_blocked(evals: Iterable[Evaluation]) -> str:
    """Say why a job has no allocation, from the latest evaluation that says anything."""
    telling = [each for each in evals if each.failed_tg_allocs]
    if not telling:
        waiting = [each for each in evals if each.status == "blocked"]
        return waiting[-1].status_description if waiting else "Nomad has not looked for a node yet"
    latest = max(telling, key=lambda each: each.modify_index)
    return "; ".join(_metric(metric) for metric in latest.failed_tg_allocs.values())


def _metric(metric: Metric) -> str:
    said = [
        *(f"quota exhausted: {quota}" for quota in metric.quota_exhausted),
        *_counted(metric.dimension_exhausted, "on {} node(s): {}"),
        *_counted(metric.constraint_filtered, "{} node(s) are left out by: {}"),
        *_counted(metric.class_filtered, "{} node(s) are left out by their class {}"),
    ]
    if not said and metric.nodes_available and not any(metric.nodes_available.values()):
        said = [f"no node is ready in {', '.join(metric.nodes_available)}"]
    return ", ".join(said) or "no node has room"


def _counted(counts: Mapping[str, int], form: str) -> list[str]:
    return [form.format(count, word) for word, count in counts.items()]
