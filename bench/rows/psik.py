"""psik's own calls through the dialect, beside the original in the same run."""

from __future__ import annotations

import json
import statistics
import time

import httpx

from bench.ground import Ground
from bench.load import get, post, run_load
from bench.peers.psik import list_jobs, one_job
from bench.table import Figure, Row
from tests.support.stack import Stack

__all__ = ["ROW"]

_CLIENTS = 64
_TRUE = json.dumps({"script": "true"}).encode()


def _measure(ground: Ground) -> list[Figure]:
    rounds, jobs = ground.size(20, 3), ground.size(300, 30)
    with ground.own_stack() as stack:
        latency = _latency(stack, rounds)
        alone = _create(stack, jobs, 1)
        listed = _list(stack, jobs)
        made = _create(stack, jobs * 10, _CLIENTS)
    old = ground.psik
    with httpx.Client(timeout=30) as client:
        times = [found for _ in range(ground.size(7, 2)) if (found := one_job(client, old)) is not None]
    their_latency = statistics.median(times) if times else float("inf")
    theirs = run_load(old.removesuffix("/v1"), lambda _: post("/v1/jobs/new", _TRUE), clients=1, count=jobs).rate
    their_list = list_jobs(old, jobs)
    ROW.notes.append(f"create only, one client at a time: {alone:,.0f}/s")
    beside = f"psik {their_latency * 1000:.0f} ms"
    return [
        Figure(f"create only, {_CLIENTS} clients", f"{made:,.0f}/s", f"psik {theirs:,.0f}/s", made / theirs, 5),
        Figure("submit to completed", f"{latency * 1000:.0f} ms", beside, their_latency / latency, 6),
        Figure(f"list of {jobs}", f"{listed:.1f} ms", f"psik {their_list:.1f} ms", their_list / listed, 10),
    ]


def _latency(stack: Stack, rounds: int) -> float:
    headers = {"Authorization": f"Bearer {stack.tokens['owner']}"}
    with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
        found = [one_job(client, f"{stack.url}/psik/v1") for _ in range(rounds)]
    times = [seconds for seconds in found if seconds is not None]
    assert len(times) == rounds, "a job did not end"
    return statistics.median(times)


def _create(stack: Stack, count: int, clients: int) -> float:
    token = stack.tokens["owner"]
    found = run_load(
        stack.url, lambda _: post("/psik/v1/jobs/new", _TRUE, token), clients=clients, count=count, keep=True
    )
    names = {json.loads(body) for body in found.bodies}
    assert len(names) == count, f"{found.bad} answers were not 2xx, or a name was given out twice"
    return found.rate


def _list(stack: Stack, count: int) -> float:
    """Return the milliseconds of a list of all jobs, the median."""
    token = stack.tokens["owner"]
    began = time.perf_counter()
    found = run_load(stack.url, lambda _: get("/psik/v1/jobs", token), clients=1, count=30, keep=True)
    assert len(json.loads(found.bodies[0])) >= count
    assert time.perf_counter() - began < 60
    return found.p(0.5)


ROW = Row("psik", "psik's calls through the dialect: create, run `true`, list", _measure)
