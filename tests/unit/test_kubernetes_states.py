"""What Jobs and pods say, in our words; the room of nodes; and how the cluster writes amounts."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState
from services.scheduler.backends.engines.kubernetes.records import Job, Node, Pod, Quota, quantity
from services.scheduler.backends.engines.kubernetes.room import counted
from services.scheduler.backends.engines.kubernetes.settings import KubernetesSettings
from services.scheduler.backends.engines.kubernetes.states import Held, Patience, is_impatient, stand

_PATIENCE = Patience(stuck=60.0, grace=30.0, silent=120.0)
_GONE = "2026-01-01T00:00:00Z"
_BACKOFF = ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
_POLICY = ("Failed", "PodFailurePolicy", "Pod a/b has condition DisruptionTarget matching FailJob rule at index 0")


def _job(*condition: str, suspend: bool = False, deleted: bool = False) -> Job:
    conditions = [dict(zip(("type", "reason", "message"), condition, strict=True), status="True")] if condition else []
    meta = {"name": "s-1", "namespace": "shunter", "uid": "u"} | ({"deletionTimestamp": _GONE} if deleted else {})
    return Job.model_validate({"metadata": meta, "spec": {"suspend": suspend}, "status": {"conditions": conditions}})


def _pod(
    phase: str,
    *,
    state: dict[str, Any] | None = None,
    status: dict[str, str] | None = None,
    condition: dict[str, str] | None = None,
    deleted: bool = False,
) -> Pod:
    meta = {"name": "p", "uid": "p"} | ({"deletionTimestamp": _GONE} if deleted else {})
    told: dict[str, Any] = {"phase": phase, **(status or {}), "conditions": [condition] if condition else []}
    if state:
        told["containerStatuses"] = [{"state": state}]
    return Pod.model_validate({"metadata": meta, "spec": {"nodeName": "n1"}, "status": told})


def _disrupted(reason: str) -> dict[str, str]:
    return {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"}


def _end(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def _wait(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": "m"}}


_UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}


@pytest.mark.parametrize(
    ("job", "pods", "state", "reason"),
    [
        (_job(), [], NativeState.WAITING, "no pod was made yet"),
        (_job(suspend=True), [], NativeState.WAITING, "suspended"),
        (_job(), [_pod("Pending", condition=_UNSCHEDULABLE)], NativeState.WAITING, "Unschedulable: 0/3 nodes"),
        (_job(), [_pod("Pending", state=_wait("ContainerCreating"))], NativeState.WAITING, "ContainerCreating: m"),
        (_job(), [_pod("Pending", state=_wait("ErrImagePull"))], NativeState.WAITING, "ErrImagePull: m"),
        (_job(), [_pod("Running")], NativeState.RUNNING, ""),
        (_job(), [_pod("Failed", state=_end(1))], NativeState.RUNNING, "ending"),
        (_job(deleted=True), [], NativeState.RUNNING, "being deleted"),
        (_job(), [_pod("Running", deleted=True, condition=_disrupted("DeletionByPodGC"))], NativeState.RUNNING, ""),
    ],
)  # fmt: skip
def test_what_has_not_ended(job: Job, pods: list[Pod], state: NativeState, reason: str) -> None:
    found = stand(job, pods, "", lambda _uid, _word: 1.0, _PATIENCE)
    assert (found.state, found.reason, found.ending) == (state, reason, None)


@pytest.mark.parametrize(
    ("job", "pods", "ending", "code"),
    [
        (_job("Complete", "CompletionsReached", ""), [], None, 0),
        (_job(*_BACKOFF), [_pod("Failed", state=_end(91))], None, 91),
        (_job(*_BACKOFF), [_pod("Failed", state=_end(137, "OOMKilled"))], Reason.MEMORY, 137),
        (_job(*_BACKOFF), [_pod("Failed", state=_end(128, "StartError"))], Reason.REFUSED, 128),
        (
            _job(*_BACKOFF),
            [_pod("Failed", state=_end(137), status={"reason": "DeadlineExceeded"})],
            Reason.WALLTIME,
            137,
        ),
        (_job(*_BACKOFF), [_pod("Failed", status={"reason": "Evicted"})], Reason.INTERRUPTED, None),
        (_job(*_BACKOFF), [_pod("Failed", status={"reason": "NodeShutdown"})], Reason.INTERRUPTED, None),
        (_job(*_BACKOFF), [_pod("Failed", status={"reason": "OutOfcpu"})], Reason.INTERRUPTED, None),
        (_job(*_BACKOFF), [_pod("Running", status={"reason": "NodeLost"})], Reason.LOST, None),
        (_job(*_BACKOFF), [_pod("Failed", state=_end(143), deleted=True)], Reason.CANCELED, 143),
        (_job(*_BACKOFF), [_pod("Running", deleted=True)], Reason.CANCELED, None),
        (_job(*_BACKOFF), [], Reason.LOST, None),
        (_job(*_POLICY), [], Reason.INTERRUPTED, None),
        (_job(*_POLICY), [_pod("Failed", condition=_disrupted("PreemptionByScheduler"))], Reason.INTERRUPTED, None),
        (_job(*_POLICY), [_pod("Failed", condition=_disrupted("EvictionByEvictionAPI"))], Reason.INTERRUPTED, None),
        (_job(*_POLICY), [_pod("Failed", condition=_disrupted("DeletionByPodGC"))], Reason.LOST, None),
        (_job(*_POLICY), [_pod("Failed", condition=_disrupted("DeletionByTaintManager"))], Reason.LOST, None),
        (_job("Failed", "DeadlineExceeded", ""), [], Reason.WALLTIME, None),
    ],
)
def test_how_it_ended(job: Job, pods: list[Pod], ending: Reason | None, code: int | None) -> None:
    found = stand(job, pods, "", lambda _uid, _word: 0.0, _PATIENCE)
    assert (found.state, found.ending, found.exit_code) == (NativeState.ENDED, ending, code)
    assert found.reason


def _aged(seconds: float) -> Held:
    return lambda _uid, _word: seconds


@pytest.mark.parametrize(
    "word", ["ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "CreateContainerError"]
)
def test_patience_ends(word: str) -> None:
    pods = [_pod("Pending", state=_wait(word))]
    assert is_impatient(pods)
    states = [stand(_job(), pods, "", _aged(age), _PATIENCE).ending for age in (59.0, 60.0)]
    assert states == [None, Reason.REFUSED]


def test_a_lost_node_is_waited_for_as_long_as_its_pod_may_take_to_end() -> None:
    pods = [_pod("Running", deleted=True, condition=_disrupted("DeletionByTaintManager"))]
    assert is_impatient(pods)
    states = [stand(_job(), pods, "", _aged(age), _PATIENCE).ending for age in (30.0, 31.0)]
    assert states == [None, Reason.LOST]


# --- the room ---------------------------------------------------------------------------------------------------


def _node(name: str, *, gpus: int = 0, **spec: Any) -> Node:
    allocatable = {"cpu": "4", "memory": "8Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    labels = {"nvidia.com/gpu.product": "A100"} if gpus else {}
    ready = [{"type": "Ready", "status": spec.pop("ready", "True")}]
    return Node.model_validate({
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"allocatable": allocatable, "conditions": ready},
    })  # fmt: skip


def _placed(node: str, **requests: str) -> Pod:
    named = {key.replace("gpu", "nvidia.com/gpu"): value for key, value in requests.items()}
    containers = [{"resources": {"requests": named}}]
    return Pod.model_validate({"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": containers}})


_TAINT = {"key": "batch", "value": "yes", "effect": "NoSchedule"}


def test_the_room_is_what_is_allocatable_less_what_pods_ask_for() -> None:
    nodes = [_node("n1"), _node("n2", gpus=4)]
    pods = [_placed("n1", cpu="500m", memory="1Gi"), _placed("n2", cpu="8", gpu="3")]
    room = counted(KubernetesSettings(), nodes, pods, [])
    assert (room.cpus, room.cpus_free, room.gpus, room.gpus_free) == (8.0, 3.5, 4, 1)
    assert (room.memory, room.memory_free) == (16 * 2**30, 15 * 2**30)
    assert (room.largest_cpus, room.largest_gpus, room.gpu_models) == (4.0, 4, ("A100",))


@pytest.mark.parametrize("kept", [{"unschedulable": True}, {"ready": "Unknown"}, {"taints": [_TAINT]}])
def test_a_node_that_takes_no_pod_of_ours_is_no_room(kept: dict[str, Any]) -> None:
    assert counted(KubernetesSettings(), [_node("n1"), _node("n2", **kept)], [], []).cpus == 4.0


@pytest.mark.parametrize(
    ("toleration", "cpus"),
    [({"key": "batch"}, 4.0), ({"key": "batch", "operator": "Equal", "value": "no"}, 0.0), ({}, 4.0)],
)
def test_a_taint_that_is_borne_is_none(toleration: dict[str, str], cpus: float) -> None:
    settings = KubernetesSettings.model_validate({"tolerations": [toleration]})
    assert counted(settings, [_node("n1", taints=[_TAINT])], [], []).cpus == cpus


def test_a_quota_is_the_end_of_the_room() -> None:
    status = {"hard": {"requests.cpu": "3", "requests.nvidia.com/gpu": "1"}, "used": {"requests.cpu": "2500m"}}
    room = counted(KubernetesSettings(), [_node("n1", gpus=4)], [], [Quota.model_validate({"status": status})])
    assert (room.cpus, room.cpus_free, room.largest_cpus, room.gpus, room.largest_gpus) == (3.0, 0.5, 3.0, 1, 1)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", 1.0), ("500m", 0.5), ("1.5Gi", 1.5 * 2**30), ("2k", 2000.0), ("1e3", 1000.0), ("100n", 1e-7), ("3E", 3e18)],
)
def test_amounts_are_read_as_they_are_written(text: str, amount: float) -> None:
    assert quantity(text) == amount
