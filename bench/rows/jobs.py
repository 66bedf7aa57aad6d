"""200 single jobs at once, beside psik_api and beside empty workflows on the same Temporal; where the CPU goes."""

from __future__ import annotations

import asyncio
import json
import math
import time

import httpx

from bench.ground import JOB, Ground, cpu_note, cpu_of
from bench.load import get, post, run_load
from bench.peers.empty import empty_workflows
from bench.peers.psik import many_jobs
from bench.table import Figure, Row
from tests.support.stack import Stack

__all__ = ["ROW", "run_jobs"]


def _measure(ground: Ground) -> list[Figure]:
    count = ground.size(200, 20)
    with ground.own_stack() as stack:
        run_jobs(stack, ground.size(50, 5))
        before = cpu_of(stack.pids)
        ours = run_jobs(stack, count)
        ROW.notes.append(cpu_note("job", before, cpu_of(stack.pids), count))
        empty = asyncio.run(empty_workflows(stack, count))
    theirs = many_jobs(ground.psik, ground.size(20, 5))
    if not theirs:
        ROW.notes.append("psik brought no job of its burst to an end")
    return [
        Figure("done", f"{ours:.1f}/s", f"psik {theirs:.2f}/s", ours / theirs if theirs else math.inf, 20),
        Figure("done", f"{ours:.1f}/s", f"empty workflows {empty:.1f}/s", ours / empty, 0.3, aim=0.5),
    ]


def run_jobs(stack: Stack, count: int, body: bytes = JOB) -> float:
    """Submit *count* jobs and wait for all; returns jobs done per second."""
    token = stack.tokens["owner"]
    began = time.perf_counter()
    made = run_load(stack.url, lambda _: post("/v1/jobs", body, token), clients=16, count=count, keep=True)
    ids = [json.loads(body)["id"] for body in made.bodies]
    assert len(ids) == count, made.bad
    pending = ids
    while pending:
        asked = pending

        def ask(number: int, asked: list[str] = asked) -> bytes:
            return get(f"/v1/jobs/{asked[number]}?wait=30&until=terminal", token)

        bodies = run_load(stack.url, ask, clients=16, count=len(asked), keep=True).bodies
        records = [json.loads(body) for body in bodies]
        pending = [record["id"] for record in records if record["finished_at"] is None]
        assert all(record["state"] == "succeeded" for record in records if record["finished_at"]), records
        if time.perf_counter() - began > 600:
            raise httpx.ReadTimeout(f"{len(pending)} jobs have not ended")
    return count / (time.perf_counter() - began)


ROW = Row("jobs", "200 single jobs `true`, all done", _measure)
