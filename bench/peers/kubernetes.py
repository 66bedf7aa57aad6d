"""Kubernetes as it is: what Jobs of a user's own do without us."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from bench.turns import medians_by_turns
from tests.support.kubernetes_cluster import KubernetesCluster

__all__ = ["BareJobs", "median_starts"]

T = TypeVar("T")

_WITHIN = 300.0
_SETTLES = (0.2, 1.2)
"""Seconds after a start, at random, so that a kubelet's beat of one second is not always met at the same place."""
_LABEL = "bench"


class BareJobs:
    """Makes Jobs by the API, as `kubectl` does, in one namespace."""

    def __init__(self, cluster: KubernetesCluster, namespace: str) -> None:
        self._http = cluster.client()
        self._image = cluster.image
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def submit(self, line: str, cpu: str = "1") -> str:
        """Make a Job of one pod that runs a line of a shell; returns its name."""
        name = f"plain-{secrets.token_hex(6)}"
        room = {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}
        container = {"name": "main", "image": self._image, "command": ["/bin/sh", "-c", line], "resources": room}
        pod = {"restartPolicy": "Never", "containers": [container]}
        template = {"metadata": {"labels": {_LABEL: "plain"}}, "spec": pod}
        meta = {"name": name, "labels": {_LABEL: "plain"}}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta}
        self._http.post(self._jobs, json={**job, "spec": {"backoffLimit": 0, "template": template}}).raise_for_status()
        return name

    def word(self, line: str) -> str:
        """Run a line that prints something to its end; returns that."""
        name = self.submit(f"({line}) >/dev/termination-log")
        return self._until(lambda: _said(self._list(self._pods, f"job-name={name}")), "the end of a Job")

    def run(self, count: int, cpu: str) -> float:
        """Run *count* Jobs `true`, made at once; returns how many are done per second."""
        began = time.perf_counter()
        with ThreadPoolExecutor(16) as pool:
            names = set(pool.map(lambda _: self.submit("true", cpu), range(count)))

        def are_done() -> bool:
            jobs = self._list(self._jobs, f"{_LABEL}=plain")
            return names <= {job["metadata"]["name"] for job in jobs if job["status"].get("succeeded")}

        self._until(are_done, f"the end of {count} Jobs")
        return count / (time.perf_counter() - began)

    def clear(self) -> None:
        """Delete all Jobs made here, and return when the namespace has no pod, whosever it was."""
        query = {"labelSelector": f"{_LABEL}=plain", "propagationPolicy": "Background"}
        self._http.delete(self._jobs, params=query).raise_for_status()
        self._until(lambda: not self._list(self._pods), "the last pod to go")

    def _list(self, path: str, labels: str = "") -> list[dict[str, Any]]:
        found = self._http.get(path, params={"labelSelector": labels}).raise_for_status().json()["items"]
        return list(found)

    def _until(self, look: Callable[[], T], what: str) -> T:
        until = time.monotonic() + _WITHIN
        while not (found := look()):
            if time.monotonic() > until:
                raise TimeoutError(f"Kubernetes has not come to {what}")
            time.sleep(0.1)
        return found


def median_starts(ways: Sequence[Callable[[str], str]], clear: Callable[[], None], count: int) -> list[float]:
    """Return for each way to run a line the seconds until it runs, as it says itself; they take turns."""

    def settle() -> None:
        clear()
        time.sleep(random.uniform(*_SETTLES))

    return medians_by_turns([partial(_start, way) for way in ways], count, settle)


def _start(way: Callable[[str], str]) -> float:
    # The clock since the machine began is the same in every container, and has hundredths in any shell.
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    return float(way("cat /proc/uptime").split()[0]) - began


def _said(pods: Sequence[dict[str, Any]]) -> str:
    for pod in pods:
        for status in pod["status"].get("containerStatuses", []):
            if ended := status["state"].get("terminated"):
                return str(ended["message"])
    return ""
