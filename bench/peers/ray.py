"""Ray Jobs as they are: what their API does without us."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx

from bench.turns import medians_by_turns
from tests.support.ray_cluster import RayCluster

__all__ = ["RayJobs", "median_starts"]

_WITHIN = 300.0
_SETTLES = 1.5
"""Seconds after a start: what a job leaves to be done at its end is not to slow the next one, which is another's."""


class RayJobs:
    """Speaks with a cluster's API of jobs."""

    def __init__(self, cluster: RayCluster) -> None:
        headers = {"Authorization": f"Bearer {cluster.token}"}
        self._http = httpx.Client(base_url=cluster.url, headers=headers, timeout=60, trust_env=False)

    def submit(self, entrypoint: str) -> str:
        """Start a job of one core; returns its name."""
        job = {"submission_id": f"plain-{secrets.token_hex(6)}", "entrypoint": entrypoint, "entrypoint_num_cpus": 1}
        self._http.post("/api/jobs/", json=job).raise_for_status()
        return str(job["submission_id"])

    def run(self, count: int) -> float:
        """Run *count* jobs `true`, submitted at once; returns jobs done per second."""
        began = time.perf_counter()
        with ThreadPoolExecutor(16) as pool:
            names = set(pool.map(lambda _: self.submit("true"), range(count)))
        while time.perf_counter() - began < _WITHIN:
            jobs = {job["submission_id"]: job["status"] for job in self._http.get("/api/jobs/").json()}
            if all(jobs.get(name) == "SUCCEEDED" for name in names):
                return count / (time.perf_counter() - began)
            time.sleep(0.2)
        raise TimeoutError(f"Ray has not ended {count} jobs")


def median_starts(submits: Sequence[Callable[[str], object]], folder: Path, count: int) -> list[float]:
    """Return for each way to submit the seconds until the program runs, as the program tells it; they take turns."""
    ways = [partial(_start, submit, folder) for submit in submits]
    return medians_by_turns(ways, count, partial(time.sleep, _SETTLES))


def _start(submit: Callable[[str], object], folder: Path) -> float:
    file = folder / secrets.token_hex(6)
    began = time.time()
    submit(f"date +%s.%N > {file}.new && mv {file}.new {file}")
    while not file.exists():
        if time.time() - began > _WITHIN:
            raise TimeoutError("a job has not begun")
        time.sleep(0.02)
    return float(file.read_text()) - began
