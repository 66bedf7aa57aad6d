"""How native jobs stand, read from answers as Nomad 1.1 gives them."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState, Seen
from services.scheduler.backends.engines.nomad.reading import seen_of, split_native_id
from services.scheduler.backends.engines.nomad.words import AllocStub, Evaluation, JobStub

_KILLING = {"Type": "Killing", "DisplayMessage": "Sent interrupt. Waiting 5s before force killing", "Details": {}}
_MIGRATED = {"DesiredStatus": "stop", "DesiredDescription": "alloc is being migrated"}
_KILLED = {"Type": "Killed", "DisplayMessage": "Task successfully killed", "Details": {}}


def _job(**said: Any) -> JobStub:
    summary = {"JobID": "s-1", "Namespace": "lab", "Summary": {}, "ModifyIndex": 12}
    row = {"ID": "s-1", "Status": "running", "Stop": False, "ModifyIndex": 11, "JobSummary": summary} | said
    return JobStub.model_validate(row)


def _alloc(status: str, *events: dict[str, Any], **said: Any) -> AllocStub:
    row = {
        "ID": "a1", "Namespace": "lab", "JobID": "s-1", "NodeID": "n", "NodeName": "node7", "ClientStatus": status,
        "DesiredStatus": "run", "DesiredDescription": "", "CreateIndex": 20, "ModifyIndex": 21,
        "PreemptedByAllocation": "",
        "TaskStates": {"main": {"State": "dead", "Failed": status == "failed", "Events": list(events)}},
    }  # fmt: skip
    return AllocStub.model_validate(row | said)


def _event(kind: str, message: str = "", **details: str) -> dict[str, Any]:
    return {"Type": kind, "DisplayMessage": message, "Details": details}


def _terminated(code: int, **more: str) -> dict[str, Any]:
    return _event("Terminated", f"Exit Code: {code}", exit_code=str(code), signal="0", **more)


def _seen(*allocs: AllocStub, **job: Any) -> Seen:
    return seen_of(_job(**job), allocs)


def test_a_job_is_found_again_by_namespace_and_name() -> None:
    assert split_native_id(_seen(_alloc("running")).native_id) == ("lab", "s-1")
    assert split_native_id("s-1") == ("", "s-1")


def test_a_pending_allocation_waits_with_the_last_that_happened_to_it() -> None:
    seen = _seen(_alloc("pending", _event("Received"), _event("Driver", "Downloading image")))
    assert (seen.state, seen.reason, seen.node) == (NativeState.WAITING, "Downloading image", "node7")
    assert "has not begun" in _seen(_alloc("pending", TaskStates=None)).reason


def test_a_disconnected_node_is_said() -> None:
    seen = _seen(_alloc("unknown", ClientDescription="alloc is unknown since its node is disconnected"))
    assert (seen.state, "disconnected" in seen.reason) == (NativeState.RUNNING, True)


def test_an_exit_of_its_own_has_a_code_and_no_reason() -> None:
    seen = _seen(_alloc("failed", _event("Started"), _terminated(91), _event("Not Restarting")), Status="dead")
    assert (seen.state, seen.ending, seen.exit_code) == (NativeState.ENDED, None, 91)


_ENDINGS: dict[str, tuple[Reason, AllocStub, bool]] = {
    "lost": (Reason.LOST, _alloc("lost", DesiredDescription="alloc is lost since its node is down"), False),
    "memory": (Reason.MEMORY, _alloc("failed", _terminated(137, oom_killed="true")), False),
    "image": (
        Reason.REFUSED,
        _alloc("failed", _event("Driver Failure", "Failed to pull `x:1`: API error (404): not found")),
        False,
    ),
    "driver": (Reason.LOST, _alloc("failed", _event("Driver Failure", "failed to launch: no cgroup")), False),
    "artifact": (Reason.REFUSED, _alloc("failed", _event("Failed Artifact Download", "404")), False),
    "preempted": (
        Reason.INTERRUPTED,
        _alloc("complete", _KILLING, _terminated(0), _KILLED, DesiredStatus="evict", PreemptedByAllocation="b2"),
        False,
    ),
    "drained": (
        Reason.INTERRUPTED,
        _alloc("complete", _KILLING, _terminated(0), **_MIGRATED),
        False,
    ),
    "drained, then stopped": (
        Reason.INTERRUPTED,
        _alloc("complete", _KILLING, _terminated(0), **_MIGRATED),
        True,
    ),
    "stopped": (
        Reason.CANCELED,
        _alloc(
            "complete", _KILLING, _terminated(3), _KILLED,
            DesiredStatus="stop", DesiredDescription="alloc not needed due to job update",
        ),
        True,
    ),
    "stopped before it began": (Reason.CANCELED, _alloc("complete", _KILLED), True),
    "unknown": (Reason.LOST, _alloc("failed", _event("Received")), False),
}  # fmt: skip


@pytest.mark.parametrize("case", _ENDINGS)
def test_endings_are_told_apart(case: str) -> None:
    ending, alloc, stopped = _ENDINGS[case]
    seen = _seen(alloc, Status="dead", Stop=stopped)
    assert (seen.state, seen.ending, seen.exit_code) == (NativeState.ENDED, ending, None)
    assert seen.reason


def test_what_had_ended_before_it_was_stopped_ended_by_itself() -> None:
    seen = _seen(_alloc("complete", _terminated(0), _KILLING), Status="dead", Stop=True)
    assert (seen.ending, seen.exit_code) == (None, 0)


def test_the_first_allocation_decides_whatever_nomad_started_after_it() -> None:
    lost = _alloc("lost", DesiredDescription="alloc is lost since its node is down")
    again = _alloc("running", ID="a2", CreateIndex=30, NodeName="node8")
    seen = _seen(again, lost)
    assert (seen.ending, seen.node) == (Reason.LOST, "node7")


def _evaluation(index: int, metric: dict[str, Any] | None, status: str = "blocked") -> Evaluation:
    row = {"ID": f"e{index}", "JobID": "s-1", "Status": status, "ModifyIndex": index}
    return Evaluation.model_validate(row | {"FailedTGAllocs": {"run": metric} if metric else None})


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ({"DimensionExhausted": {"memory": 2}}, "on 2 node(s): memory"),
        (
            {"DimensionExhausted": {"devices: no devices match request": 1}, "ClassFiltered": None},
            "on 1 node(s): devices: no devices match request",
        ),
        (
            {"ConstraintFiltered": {"${attr.kernel.name} = linux": 3, "missing drivers": 1}},
            "3 node(s) are left out by: ${attr.kernel.name} = linux, 1 node(s) are left out by: missing drivers",
        ),
        ({"QuotaExhausted": ["lab (memory)"]}, "quota exhausted: lab (memory)"),
        ({"NodesAvailable": {"dc1": 0}}, "no node is ready in dc1"),
        ({"NodesAvailable": {"dc1": 2}}, "no node has room"),
    ],
)
def test_why_a_job_waits_is_said_in_the_words_of_the_cluster(metric: dict[str, Any], said: str) -> None:
    older = _evaluation(5, {"DimensionExhausted": {"cpu": 9}}, "complete")
    seen = seen_of(_job(Status="pending"), [], [_evaluation(7, metric), older])
    assert (seen.state, seen.reason) == (NativeState.WAITING, said)


def test_a_job_that_nomad_has_not_looked_at_yet_says_so() -> None:
    assert "not looked" in seen_of(_job(Status="pending"), []).reason


def test_a_dead_job_without_an_allocation_was_stopped_or_is_lost() -> None:
    assert _seen(Status="dead", Stop=True).ending is Reason.CANCELED
    assert _seen(Status="dead", Stop=False).ending is Reason.LOST
