"""`GET /v1/jobs/{id}` by 16 clients, beside the bare FastAPI GET."""

from __future__ import annotations

from bench.ground import Ground
from bench.load import get, run_load
from bench.table import Figure, Row

__all__ = ["ROW"]

_CLIENTS = 16


def _measure(ground: Ground) -> list[Figure]:
    stack, seconds = ground.stack, ground.size(5, 1)
    job = stack.client("owner").post("/v1/jobs", json={"argv": ["true"]}).raise_for_status().json()["id"]
    stack.client("owner").get(f"/v1/jobs/{job}", params={"wait": 30}).raise_for_status()
    bare = run_load(ground.bare, lambda _: get("/jobs/x"), clients=_CLIENTS, seconds=seconds)
    token = stack.tokens["owner"]
    ours = run_load(stack.url, lambda _: get(f"/v1/jobs/{job}", token), clients=_CLIENTS, seconds=seconds)
    return [
        Figure("rate", f"{ours.rate:,.0f}/s", f"the bare GET {bare.rate:,.0f}/s", ours.rate / bare.rate, 0.25),
        Figure("rate", f"{ours.rate:,.0f}/s", "", ours.rate, 1500, "/s"),
        Figure("p99", f"{ours.p(0.99):.1f} ms", "", ours.p(0.99), 40, "ms", small_is_good=True),
    ]


ROW = Row("reads", "`GET /v1/jobs/{id}`, 16 clients", _measure)
