"""`GET /v1/jobs/{id}` by 16 clients, beside the bare FastAPI GET."""

from __future__ import annotations

from bench.ground import Ground, cpu_note, cpu_of
from bench.load import Load, get, percentile, run_load
from bench.table import Figure, Row

__all__ = ["ROW"]

_CLIENTS = 16


def _measure(ground: Ground) -> list[Figure]:
    stack = ground.stack
    job = stack.client("owner").post("/v1/jobs", json={"argv": ["true"]}).raise_for_status().json()["id"]
    stack.client("owner").get(f"/v1/jobs/{job}", params={"wait": 30}).raise_for_status()
    token = stack.tokens["owner"]
    turns: list[tuple[Load, Load]] = []
    before = cpu_of(stack.pids)
    for _ in range(ground.size(7, 2)):
        # By turns, so that a noisy machine is noisy for both.
        bare = run_load(ground.bare, lambda _: get("/jobs/x"), clients=_CLIENTS, seconds=1)
        turns.append((run_load(stack.url, lambda _: get(f"/v1/jobs/{job}", token), clients=_CLIENTS, seconds=1), bare))
    count = sum(len(ours.times) for ours, _ in turns)
    ROW.notes.append(cpu_note("read", before, cpu_of(stack.pids), count))
    ours, bare = sorted(turns, key=lambda turn: turn[0].rate / turn[1].rate)[len(turns) // 2]
    p99 = percentile([seconds for load, _ in turns for seconds in load.times], 0.99) * 1000
    return [
        Figure("rate", f"{ours.rate:,.0f}/s", f"the bare GET {bare.rate:,.0f}/s", ours.rate / bare.rate, 0.25),
        Figure("rate", f"{ours.rate:,.0f}/s", "", ours.rate, 1500, "/s"),
        Figure("p99", f"{p99:.1f} ms", "", p99, 40, "ms", small_is_good=True),
    ]


ROW = Row("reads", "`GET /v1/jobs/{id}`, 16 clients", _measure)
