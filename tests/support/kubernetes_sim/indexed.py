"""Indexed Jobs of a simulated cluster: a pod for each index, and what became of each in the status."""

from __future__ import annotations

from copy import deepcopy
from typing import Final

from contracts.ranges import Ranges

from .store import Obj

__all__ = ["INDEX", "dress", "is_indexed", "judge", "missing", "verdict"]

INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""Both a label and an annotation of a pod."""


def is_indexed(job: Obj) -> bool:
    """Say whether each of its pods is one index."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def missing(job: Obj, pods: list[Obj]) -> list[int]:
    """Return the indices that are to have a pod now: at most as many at once as may run side by side."""
    spec, over = job["spec"], _indices(job, "completedIndexes") | _indices(job, "failedIndexes")
    active = {_index(pod) for pod in pods} - set(over)
    free = spec["parallelism"] - len(active)
    return [index for index in range(spec["completions"]) if index not in over and index not in active][: max(0, free)]


def dress(template: Obj, meta: Obj, index: int) -> Obj:
    """Say to a pod which index it is; returns its spec."""
    meta["labels"][INDEX] = str(index)
    meta["annotations"] = {**meta["annotations"], INDEX: str(index)}
    spec: Obj = deepcopy(template["spec"])
    path = f"metadata.annotations['{INDEX}']"
    for container in spec["containers"]:
        given = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}
        container["env"] = [*container.get("env", []), given]
    return spec


def judge(job: Obj, pods: list[Obj]) -> bool:
    """Note which indices are over; says whether that is new. No index is tried twice: its limit must be 0."""
    assert job["spec"]["backoffLimitPerIndex"] == 0
    before = dict(job["status"])
    for word, phase in (("completedIndexes", "Succeeded"), ("failedIndexes", "Failed")):
        more = Ranges.of(_index(pod) for pod in pods if pod["status"]["phase"] == phase)
        job["status"][word] = str(_indices(job, word) | more)
    return bool(before != job["status"])


def verdict(job: Obj) -> tuple[str, str, str] | None:
    """Return the condition of a Job of which no index is left."""
    failed = _indices(job, "failedIndexes")
    if len(failed | _indices(job, "completedIndexes")) < job["spec"]["completions"]:
        return None
    if failed.runs:
        return "Failed", "FailedIndexes", "Job has failed indexes"
    return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"


def _indices(job: Obj, word: str) -> Ranges:
    text = job["status"].get(word, "")
    return Ranges.parse(text) if text else Ranges(())


def _index(pod: Obj) -> int:
    return int(pod["metadata"]["labels"][INDEX])
