"""What goes round in a simulated cluster: Job controller, scheduler, quotas, taints, and who collects what is left."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from services.scheduler.backends.engines.kubernetes.records import quantity

from . import indexed
from .store import Obj, Store, stamp

__all__ = ["Controllers", "condition", "disrupt", "set_condition"]

_TRACKING: Final = "batch.kubernetes.io/job-tracking"
_TELLS: Final = 26
"""Since this release it says why pods are taken away, and counts those that are."""
_PREFIXED: Final = 27
_UNREACHABLE: Final = "node.kubernetes.io/unreachable"


def condition(item: Obj, kind: str) -> Obj | None:
    """Return a condition of an object."""
    found: list[Obj] = [c for c in item.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else None


def set_condition(item: Obj, kind: str, status: str, reason: str = "", message: str = "") -> bool:
    """Set a condition of an object; says whether that is new."""
    new = {"type": kind, "status": status, "reason": reason, "message": message}
    old = condition(item, kind)
    if old is not None and {key: old.get(key, "") for key in new} == new:
        return False
    kept = [c for c in item.setdefault("status", {}).get("conditions", []) if c["type"] != kind]
    item["status"]["conditions"] = [*kept, {**new, "lastTransitionTime": stamp()}]
    return True


def disrupt(store: Store, pod: Obj, reason: str, message: str) -> None:
    """Have a pod go, and say why."""
    if store.minor >= _TELLS:
        set_condition(pod, "DisruptionTarget", "True", reason, message)
    pod["metadata"].setdefault("finalizers", []).append("sim/node")
    store.delete("pods", pod, pod["spec"].get("terminationGracePeriodSeconds", 30))


class Controllers:
    """Brings the objects nearer to what they are to be, a step at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unreachable: dict[str, datetime] = {}

    def step(self) -> None:
        """Go round once."""
        for job in self._store.of("jobs"):
            self._job(job)
        for pod in self._store.of("pods"):
            if not pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp"):
                self._place(pod)
        self._measure()
        self._taints()
        self._collect()

    def _job(self, job: Obj) -> None:
        if any(condition(job, kind) for kind in ("Complete", "Failed")):
            return
        uid = job["metadata"]["uid"]
        pods = [pod for pod in self._store.of("pods") if _owner(pod) == uid]
        if job["metadata"].get("deletionTimestamp"):
            self._count(pods, everything=True)
        elif job["spec"].get("suspend"):
            if set_condition(job, "Suspended", "True", "JobSuspended", "Job suspended"):
                self._store.touch("jobs", job)
        elif self._store.minor < _TELLS:
            self._replace(job, pods)
        elif indexed.is_indexed(job):
            self._step_indexed(job, pods)
        elif not pods and not job["status"].get("begun"):
            self._make_pod(job, job["spec"]["template"])
        elif not pods:
            self._end(job, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        else:
            self._judge(job, pods)

    def _replace(self, job: Obj, pods: list[Obj]) -> None:
        """Do as was done of old: what was taken away is made anew at once, whatever became of it."""
        alive = [pod for pod in pods if pod["status"]["phase"] in {"Pending", "Running"}]
        if any(not pod["metadata"].get("deletionTimestamp") for pod in alive):
            return
        if len(alive) < len(pods):
            self._judge(job, pods)
        else:
            self._make_pod(job, job["spec"]["template"])

    def _step_indexed(self, job: Obj, pods: list[Obj]) -> None:
        if indexed.judge(job, pods):
            self._store.touch("jobs", job)
        if found := indexed.verdict(job):
            kind, reason, message = found
            set_condition(job, kind, "True", reason, message)
            self._store.touch("jobs", job)
        else:
            for index in indexed.missing(job, pods):
                self._make_pod(job, job["spec"]["template"], index)
        self._count(pods)

    def _judge(self, job: Obj, pods: list[Obj]) -> None:
        for pod in pods:
            phase = pod["status"]["phase"]
            if phase == "Succeeded":
                set_condition(
                    job, "Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods"
                )
                self._store.touch("jobs", job)
            elif phase == "Failed":
                name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                if condition(pod, "DisruptionTarget"):
                    told = f"Pod {name} has condition DisruptionTarget matching FailJob rule at index 0"
                    self._end(job, "PodFailurePolicy", told)
                else:
                    self._end(job, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        self._count(pods)

    def _end(self, job: Obj, reason: str, message: str) -> None:
        set_condition(job, "Failed", "True", reason, message)
        self._store.touch("jobs", job)

    def _count(self, pods: list[Obj], *, everything: bool = False) -> None:
        for pod in pods:
            finalizers = pod["metadata"].get("finalizers", [])
            if _TRACKING in finalizers and (everything or pod["status"]["phase"] in {"Succeeded", "Failed"}):
                finalizers.remove(_TRACKING)
                self._store.touch("pods", pod)

    def _make_pod(self, job: Obj, made_from: Obj, index: int | None = None) -> None:
        namespace, name, uid = (job["metadata"][key] for key in ("namespace", "name", "uid"))
        template = deepcopy(made_from)
        full = self._over_quota(namespace, template["spec"])
        if full:
            self._note(job, f'Error creating: pods "{name}-" is forbidden: {full}')
            return
        told = {"job-name": name, "controller-uid": uid}
        prefixed = {f"batch.kubernetes.io/{key}": value for key, value in told.items()}
        labels = told | (prefixed if self._store.minor >= _PREFIXED else {})
        meta = {
            "name": f"{name}-{uuid4().hex[:5]}",
            "namespace": namespace,
            "labels": template["metadata"].get("labels", {}) | labels,
            "annotations": template["metadata"].get("annotations", {}),
            "finalizers": [_TRACKING] if self._store.minor >= _TELLS else [],
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "blockOwnerDeletion": True}
            ],
        }
        spec = template["spec"] if index is None else indexed.dress(template, meta, index)
        self._store.add("pods", {
            "apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": {"phase": "Pending"},
        })  # fmt: skip
        job["status"]["begun"] = True
        self._store.touch("jobs", job)

    def _over_quota(self, namespace: str, spec: Obj) -> str:
        asked = _requests(spec)
        for quota in self._store.of("resourcequotas", namespace):
            hard = {key: quantity(value) for key, value in quota["spec"]["hard"].items()}
            used = self._used(namespace)
            for key, amount in asked.items():
                word = f"requests.{key}"
                if word in hard and used[word] + amount > hard[word]:
                    return f"exceeded quota: {quota['metadata']['name']}, requested: {word}={amount:g}"
        return ""

    def _used(self, namespace: str) -> Counter[str]:
        used: Counter[str] = Counter({"count/jobs.batch": len(self._store.of("jobs", namespace))})
        for pod in self._store.of("pods", namespace):
            if _holds_room(pod):
                used.update({f"requests.{key}": value for key, value in _requests(pod["spec"]).items()})
        return used

    def _measure(self) -> None:
        for quota in self._store.of("resourcequotas"):
            hard, used = quota["spec"]["hard"], self._used(quota["metadata"]["namespace"])
            quota["status"] = {"hard": hard, "used": {key: str(used[key]) for key in hard}}

    def _note(self, job: Obj, message: str) -> None:
        name = f"{job['metadata']['name']}.quota"
        namespace = job["metadata"]["namespace"]
        if self._store.get("events", namespace, name):
            return
        involved = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
        meta = {"name": name, "namespace": namespace}
        self._store.add("events", {
            "apiVersion": "v1", "kind": "Event", "metadata": meta, "involvedObject": involved,
            "reason": "FailedCreate", "message": message, "type": "Warning",
        })  # fmt: skip

    def _place(self, pod: Obj) -> None:
        nodes = self._store.of("nodes")
        why: Counter[str] = Counter()
        for node in nodes:
            wrong = self._unfit(pod, node)
            if not wrong:
                pod["spec"]["nodeName"] = node["metadata"]["name"]
                set_condition(pod, "PodScheduled", "True")
                self._store.touch("pods", pod)
                return
            why[wrong] += 1
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
        message = f"0/{len(nodes)} nodes are available: {told}."
        if set_condition(pod, "PodScheduled", "False", "Unschedulable", message):
            self._store.touch("pods", pod)

    def _unfit(self, pod: Obj, node: Obj) -> str:
        spec, labels = pod["spec"], node["metadata"].get("labels", {})
        if node["spec"].get("unschedulable"):
            return "node(s) were unschedulable"
        for taint in node["spec"].get("taints", []):
            if not any(_tolerates(item, taint) and "tolerationSeconds" not in item for item in spec["tolerations"]):
                return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
        if not spec.get("nodeSelector", {}).items() <= labels.items() or not _has_affinity(spec, labels):
            return "node(s) didn't match Pod's node affinity/selector"
        free = {key: quantity(value) for key, value in node["status"]["allocatable"].items()}
        for other in self._store.of("pods"):
            if other["spec"].get("nodeName") == node["metadata"]["name"] and _holds_room(other):
                for key, amount in _requests(other["spec"]).items():
                    free[key] = free.get(key, 0.0) - amount
        short = [key for key, amount in _requests(spec).items() if free.get(key, 0.0) < amount]
        return f"Insufficient {short[0]}" if short else ""

    def _taints(self) -> None:
        """Have pods go from nodes that have been unreachable for longer than they bear."""
        present = datetime.now(UTC)
        for node in self._store.of("nodes"):
            name = node["metadata"]["name"]
            if not any(taint["key"] == _UNREACHABLE for taint in node["spec"].get("taints", [])):
                self._unreachable.pop(name, None)
                continue
            since = self._unreachable.setdefault(name, present)
            for pod in self._store.of("pods"):
                if pod["spec"].get("nodeName") != name or pod["metadata"].get("deletionTimestamp"):
                    continue
                bears = [
                    item["tolerationSeconds"] for item in pod["spec"]["tolerations"] if item.get("key") == _UNREACHABLE
                ]
                if present - since > timedelta(seconds=bears[0]):
                    disrupt(
                        self._store, pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
                    )

    def _collect(self) -> None:
        there = {item["metadata"]["uid"] for item in self._store.objects.values()}
        for (plural, _, _), item in list(self._store.objects.items()):
            owner = _owner(item)
            if owner and owner not in there and not item["metadata"].get("deletionTimestamp"):
                self._let_go(plural, item)
        for job in self._store.of("jobs"):
            finalizers = job["metadata"].get("finalizers", [])
            if "foregroundDeletion" not in finalizers:
                continue
            uid = job["metadata"]["uid"]
            mine = [(key[0], item) for key, item in self._store.objects.items() if _owner(item) == uid]
            for plural, item in mine:
                if not item["metadata"].get("deletionTimestamp"):
                    self._let_go(plural, item)
            if not any(plural == "pods" for plural, _ in mine):
                finalizers.remove("foregroundDeletion")
                self._store.touch("jobs", job)

    def _let_go(self, plural: str, item: Obj) -> None:
        grace = 0.0
        if plural == "pods":
            item["metadata"].setdefault("finalizers", []).append("sim/node")
            item["metadata"]["finalizers"] = [f for f in item["metadata"]["finalizers"] if f != _TRACKING]
            grace = item["spec"].get("terminationGracePeriodSeconds", 30)
        self._store.delete(plural, item, grace)


def _owner(item: Obj) -> str:
    owners: list[Obj] = item["metadata"].get("ownerReferences", [])
    return owners[0]["uid"] if owners else ""


def _requests(spec: Obj) -> dict[str, float]:
    total: Counter[str] = Counter()
    for container in spec["containers"]:
        for key, value in container.get("resources", {}).get("requests", {}).items():
            total[key] += quantity(value)  # type: ignore[assignment]
    return dict(total)


def _holds_room(pod: Obj) -> bool:
    return pod["status"]["phase"] in {"Pending", "Running"}


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    return toleration.get("key") in {None, taint["key"]} and toleration.get("effect") in {None, taint["effect"]}


def _has_affinity(spec: Obj, labels: dict[str, str]) -> bool:
    wanted = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not wanted:
        return True
    return any(
        all(_holds(term, labels) for term in any_of["matchExpressions"]) for any_of in wanted["nodeSelectorTerms"]
    )


def _holds(term: dict[str, Any], labels: dict[str, str]) -> bool:
    has = labels.get(term["key"])
    if has is None:
        return False
    return int(has) > int(term["values"][0]) if term["operator"] == "Gt" else has in term["values"]
