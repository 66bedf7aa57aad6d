"""Durable submits that one gateway worker accepts, beside the bare FastAPI POST and psik's `/jobs/new`."""

from __future__ import annotations

import json

from bench.ground import JOB, Ground, cpu_note, cpu_of
from bench.load import Load, post, run_load
from bench.table import Figure, Row
from tests.support.stack import Stack

__all__ = ["ROW"]

_CLIENTS = 16
_KINDS = (
    ("201 with the record", JOB, ""),
    ("201, held: nothing runs meanwhile", b'{"argv":["true"],"hold":true}', ""),
    ("202, kept by JetStream", JOB, "Prefer: respond-async\r\n"),
)


def _measure(ground: Ground) -> list[Figure]:
    seconds = ground.size(3, 1)
    theirs = _psik(ground, seconds)
    figures: list[Figure] = []
    for what, body, headers in _KINDS:
        # A stack of its own, for the jobs run meanwhile; the bare one before and after, for the machine is noisy.
        with ground.own_stack() as stack:
            bare = [_bare(ground)]
            ours = _submit(stack, what, body, headers, seconds)
        bare.append(_bare(ground))
        between = sum(found.rate for found in bare) / len(bare)
        figures.append(_beside(what, ours, "the bare POST", between, 0.25, 0.5))
        figures.append(_beside(what, ours, "psik /jobs/new", theirs, 5, None))
    return figures


def _bare(ground: Ground) -> Load:
    return run_load(ground.bare, lambda _: post("/jobs", JOB), clients=_CLIENTS, seconds=1)


def _beside(what: str, ours: Load, name: str, theirs: float, limit: float, aim: float | None) -> Figure:
    value = ours.rate / theirs if theirs else 0.0
    return Figure(what, f"{ours.rate:,.0f}/s", f"{name} {theirs:,.0f}/s", value, limit, aim=aim)


def _submit(stack: Stack, what: str, body: bytes, headers: str, seconds: float) -> Load:
    token, before = stack.tokens["owner"], cpu_of(stack.pids)
    found = run_load(
        stack.url, lambda _: post("/v1/jobs", body, token, headers), clients=_CLIENTS, seconds=seconds, keep=True
    )
    ROW.notes.append(
        cpu_note(f"submit ({what}), with what ran meanwhile", before, cpu_of(stack.pids), len(found.times))
    )
    if found.bad:
        ROW.notes.append(f"answers that were not 2xx: {found.bad}")
    ids = [json.loads(body)["id"] for body in found.bodies]
    assert len(set(ids)) == len(ids)
    ROW.notes.append(f"{what}: p50 {found.p(0.5):.1f} ms, p99 {found.p(0.99):.1f} ms")
    return found


def _psik(ground: Ground, seconds: float) -> float:
    # One client at a time: with several it loses transitions and answers 500.
    body = json.dumps({"script": "true"}).encode()
    rounds = [
        run_load(ground.psik.removesuffix("/v1"), lambda _: post("/v1/jobs/new", body), clients=1, seconds=seconds / 2)
        for _ in range(3)
    ]
    return sorted(found.rate for found in rounds)[len(rounds) // 2]


ROW = Row("submits", "durable submits accepted by one gateway worker, 16 clients", _measure)
