"""Durable submits that one gateway worker accepts, beside the bare FastAPI POST and psik's `/jobs/new`."""

from __future__ import annotations

import json

from bench.ground import JOB, Ground
from bench.load import Load, post, run_load
from bench.table import Figure, Row
from tests.support.stack import Stack

__all__ = ["ROW"]

_CLIENTS = 16


def _measure(ground: Ground) -> list[Figure]:
    seconds = ground.size(5, 1)
    bare = run_load(ground.bare, lambda _: post("/jobs", JOB), clients=_CLIENTS, seconds=seconds)
    with ground.own_stack() as stack:
        accepted = _submit(stack, "", seconds)
    with ground.own_stack() as stack:
        kept = _submit(stack, "Prefer: respond-async\r\n", seconds)
    theirs = _psik(ground, seconds)
    return [
        _beside("201 with the record", accepted, "the bare POST", bare, 0.25, 0.5),
        _beside("202, kept by JetStream", kept, "the bare POST", bare, 0.25, 0.5),
        _beside("201 with the record", accepted, "psik /jobs/new", theirs, 5, None),
        _beside("202, kept by JetStream", kept, "psik /jobs/new", theirs, 5, None),
    ]


def _beside(what: str, ours: Load, name: str, theirs: Load, limit: float, aim: float | None) -> Figure:
    value = ours.rate / theirs.rate if theirs.rate else 0.0
    return Figure(what, f"{ours.rate:,.0f}/s", f"{name} {theirs.rate:,.0f}/s", value, limit, aim=aim)


def _submit(stack: Stack, headers: str, seconds: float) -> Load:
    token = stack.tokens["owner"]
    found = run_load(
        stack.url, lambda _: post("/v1/jobs", JOB, token, headers), clients=_CLIENTS, seconds=seconds, keep=True
    )
    if found.bad:
        ROW.notes.append(f"answers that were not 2xx: {found.bad}")
    ids = [json.loads(body)["id"] for body in found.bodies]
    assert len(set(ids)) == len(ids)
    ROW.notes.append(f"{headers.strip() or 'default'}: p50 {found.p(0.5):.1f} ms, p99 {found.p(0.99):.1f} ms")
    return found


def _psik(ground: Ground, seconds: float) -> Load:
    # One client at a time: with several it loses transitions and answers 500.
    body = json.dumps({"script": "true"}).encode()
    rounds = [
        run_load(ground.psik.removesuffix("/v1"), lambda _: post("/v1/jobs/new", body), clients=1, seconds=seconds / 2)
        for _ in range(3)
    ]
    return sorted(rounds, key=lambda found: found.rate)[len(rounds) // 2]


ROW = Row("submits", "durable submits accepted by one gateway worker, 16 clients", _measure)
