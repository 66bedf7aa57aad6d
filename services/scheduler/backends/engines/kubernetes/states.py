"""What a Job and its pods say, in our words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState, Seen

from .names import Address
from .records import Condition, Job, Pod, Terminated

__all__ = ["Held", "Patience", "departed", "is_impatient", "stand"]

Held = Callable[[str, str], float]
"""For how many seconds a pod (its uid) has been seen in a state (a word), by our clock."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things are waited for, in seconds."""

    stuck: float
    """A container that cannot be made."""
    grace: float
    """A pod that is ended, from whose node nothing is to be expected."""
    silent: float
    """A node that says nothing, beside that."""


_IMAGE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"})
_NEVER: Final = frozenset({"InvalidImageName"})
"""No patience helps."""
_CONTAINER: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_STUCK: Final = _IMAGE | _NEVER | _CONTAINER

_NODE_LOST: Final = frozenset({"DeletionByTaintManager", "DeletionByPodGC"})
"""Why a pod was disrupted, if its node was gone. Else something wanted its place."""
_INTERRUPTED: Final = frozenset({
    "Evicted", "Preempting", "NodeShutdown", "Shutdown", "Terminated", "NodeAffinity", "UnexpectedAdmissionError",
    "OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage", "TopologyAffinityError",
})  # fmt: skip
"""What the node says of a pod that it ended or did not take."""
_NOT_RUN: Final = frozenset({"StartError", "ContainerCannotRun"})
"""The image has not what we start in it."""


def is_impatient(pods: Sequence[Pod]) -> bool:
    """Say whether time alone may change how it stands."""
    return any(_stuck(pod) or pod.metadata.deletion_timestamp for pod in pods)


def stand(
    job: Job, pods: Sequence[Pod], note: str, held: Held, patience: Patience, *, taken: Reason = Reason.CANCELED
) -> Seen:
    """Say how a native job stands. *note* is what the cluster noted of it beside its own state.

    *taken* is what it means that a pod is taken away and nothing says why.
    """
    if job.condition("Complete"):
        return _seen(job, pods, NativeState.ENDED, "completed", exit_code=0)
    failed = job.condition("Failed")
    if failed:
        return _failed(job, pods, failed, taken)
    for pod in pods:
        if pod.metadata.deletion_timestamp and _is_given_up(pod, held, patience):
            return _seen(job, pods, NativeState.ENDED, f"node {pod.spec.node_name} is lost", Reason.LOST)
        word = _stuck(pod)
        if word and (word in _NEVER or held(pod.metadata.uid, "stuck") >= patience.stuck):
            return _seen(job, pods, NativeState.ENDED, _waiting(pod), Reason.REFUSED)
    return _live(job, pods, note)


def departed(job: Job, pod: Pod, taken: Reason) -> Seen:
    """Say how a native job ended whose pod is no more, on a cluster whose Jobs only make another one then."""
    ending, reason = _ending(pod, taken)
    code = pod.terminated.exit_code if pod.terminated else None
    if ending is None and code is None:
        ending, reason = taken, "its pod was taken away"
    return _seen(job, [pod], NativeState.ENDED, reason, ending, code)


def _live(job: Job, pods: Sequence[Pod], note: str) -> Seen:
    for pod in pods:
        if pod.status.phase == "Running":
            return _seen(job, [pod], NativeState.RUNNING, "")
        if pod.has_ended:
            # The Job controller has not counted it yet.
            return _seen(job, [pod], NativeState.RUNNING, "ending")
    if job.metadata.deletion_timestamp:
        return _seen(job, pods, NativeState.RUNNING, "being deleted")
    if job.spec.suspend:
        return _seen(job, pods, NativeState.WAITING, f"suspended: {note}" if note else "suspended")
    reason = next((said for pod in pods if (said := _waiting(pod))), "") or note or "no pod was made yet"
    return _seen(job, pods, NativeState.WAITING, reason)


def _failed(job: Job, pods: Sequence[Pod], failed: Condition, taken: Reason) -> Seen:
    word, message = failed.reason, failed.message
    told = f"{word}: {message}" if message else word
    for pod in pods:
        ending, reason = _ending(pod, taken)
        if ending or pod.terminated:
            code = pod.terminated.exit_code if pod.terminated else None
            return _seen(job, [pod], NativeState.ENDED, reason or told, ending, code)
    if word == "DeadlineExceeded":
        return _seen(job, pods, NativeState.ENDED, told, Reason.WALLTIME)
    if "DisruptionTarget" in message:
        # The pod itself is gone already, and with it by what it was disrupted.
        return _seen(job, pods, NativeState.ENDED, told, Reason.INTERRUPTED)
    ending = taken if any(pod.metadata.deletion_timestamp for pod in pods) else Reason.LOST
    return _seen(job, pods, NativeState.ENDED, told, ending)


def _ending(pod: Pod, taken: Reason) -> tuple[Reason | None, str]:
    """Return why a pod ended that was not let end by itself, and its words."""
    disrupted = pod.condition("DisruptionTarget")
    if disrupted and disrupted.holds:
        lost = disrupted.reason in _NODE_LOST
        return Reason.LOST if lost else Reason.INTERRUPTED, f"{disrupted.reason}: {disrupted.message}"
    status, end = pod.status, pod.terminated
    told = f"{status.reason}: {status.message}" if status.message else status.reason
    if status.reason == "DeadlineExceeded":
        return Reason.WALLTIME, told
    if status.reason == "NodeLost":
        return Reason.LOST, told
    if status.reason in _INTERRUPTED:
        return Reason.INTERRUPTED, told
    if end is None:
        return (taken, "its pod was deleted") if pod.metadata.deletion_timestamp else (None, told)
    return _container_ending(pod, end, taken)


def _container_ending(pod: Pod, end: Terminated, taken: Reason) -> tuple[Reason | None, str]:
    told = f"exit code {end.exit_code}" + (f": {end.message.strip()}" if end.message else "")
    if end.reason == "OOMKilled":
        return Reason.MEMORY, "OOMKilled: it used more memory than its limit"
    if end.reason in _NOT_RUN:
        return Reason.REFUSED, f"{end.reason}: {end.message}"
    return (taken, told) if pod.metadata.deletion_timestamp else (None, told)


def _stuck(pod: Pod) -> str:
    """Return why a container cannot be made, if it cannot."""
    waiting = pod.waiting
    return waiting.reason if waiting and waiting.reason in _STUCK and pod.status.phase == "Pending" else ""


def _is_given_up(pod: Pod, held: Held, patience: Patience) -> bool:
    """Say whether a pod that is to go has been waited for long enough: its node is known to be gone, or silent."""
    disrupted = pod.condition("DisruptionTarget")
    is_lost = disrupted and disrupted.holds and disrupted.reason in _NODE_LOST
    return held(pod.metadata.uid, "left") > patience.grace + (0.0 if is_lost else patience.silent)


def _waiting(pod: Pod) -> str:
    placed = pod.condition("PodScheduled")
    if placed and not placed.holds:
        return f"{placed.reason}: {placed.message}" if placed.message else placed.reason
    waiting = pod.waiting
    if waiting is None:
        return ""
    return f"{waiting.reason}: {waiting.message}" if waiting.message else waiting.reason


def _seen(
    job: Job,
    pods: Sequence[Pod],
    state: NativeState,
    reason: str,
    ending: Reason | None = None,
    exit_code: int | None = None,
) -> Seen:
    return Seen(
        name=job.metadata.name,
        native_id=str(Address(job.metadata.namespace, job.metadata.uid)),
        state=state,
        reason=reason[:1000],
        ending=ending,
        exit_code=exit_code,
        node=next((pod.spec.node_name for pod in pods if pod.spec.node_name), ""),
    )
