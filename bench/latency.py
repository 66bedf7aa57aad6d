"""`true`, from submit to its end, one at a time: Shunter and psik_api by turns, in one run."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import httpx

from .peers.psik import one_job

__all__ = ["Latency", "compare"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from submit to end, of the jobs that ended."""

    ours: list[float]
    theirs: list[float]
    lost: int
    """Jobs of the peer that never ended."""

    @property
    def ratio(self) -> float:
        """Return our median as a share of theirs."""
        return statistics.median(self.ours) / statistics.median(self.theirs)


def compare(shunter: httpx.Client, psik_url: str, *, rounds: int, each: int) -> Latency:
    """Take turns, so that a noisy machine is noisy for both."""
    ours: list[float] = []
    theirs: list[float] = []
    lost = 0
    _ours(shunter)
    with httpx.Client(timeout=30) as peer:
        one_job(peer, psik_url)
        for _ in range(rounds):
            ours += [_ours(shunter) for _ in range(each)]
            for _ in range(each):
                seconds = one_job(peer, psik_url)
                lost += seconds is None
                theirs += [] if seconds is None else [seconds]
    return Latency(ours, theirs, lost)


def _ours(client: httpx.Client) -> float:
    began = time.perf_counter()
    job = client.post("/v1/jobs", json={"argv": ["true"]}).raise_for_status().json()
    while job["state"] != "succeeded":
        answer = client.get(f"/v1/jobs/{job['id']}", params={"wait": 30, "until": "terminal"})
        job = answer.raise_for_status().json()
        if job["state"] in {"failed", "lost", "canceled"}:
            raise SystemExit(f"the job ended as {job['state']}: {job['message']}")
    return time.perf_counter() - began
