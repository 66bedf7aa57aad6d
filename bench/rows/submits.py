"""Durable submits that one gateway worker accepts, beside the bare FastAPI POST and psik's `/jobs/new`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.ground import JOB, Ground, cpu_note, cpu_of
from bench.load import Load, post, run_load
from bench.table import Figure, Row
from tests.support.stack import Stack

__all__ = ["ROW"]

_CLIENTS = 64


@dataclass(frozen=True, slots=True)
class _Kind:
    """A way to submit. A limit that is none is not judged: it asks for what the figure does not measure."""

    what: str
    body: bytes = JOB
    headers: str = ""
    alone: bool = False
    """Whether the scheduler stands still meanwhile: what the gateway accepts, not what else its cores do."""
    of_bare: float | None = None
    of_psik: float | None = None


_KINDS = (
    # A command that JetStream has written through to the disk is accepted: it will be handled, whoever dies now.
    _Kind("202, kept by JetStream", headers="Prefer: respond-async\r\n", alone=True, of_bare=0.25),
    # psik's `/jobs/new` records a job and runs nothing; this is the same, durable and with an owner.
    _Kind("201, held: recorded, nothing runs", b'{"argv":["true"],"hold":true}', of_psik=5),
    _Kind("202, admission and jobs on the same cores", headers="Prefer: respond-async\r\n"),
    _Kind("201 with the record, jobs run meanwhile"),
)


def _measure(ground: Ground) -> list[Figure]:
    seconds = ground.size(3, 1)
    theirs = _psik(ground, seconds)
    figures: list[Figure] = []
    for kind in _KINDS:
        # A stack of its own, for the jobs run meanwhile; the bare one before and after, for the machine is noisy.
        with ground.own_stack() as stack:
            bare = [_bare(ground)]
            ours = _submit(stack, kind, seconds)
        bare.append(_bare(ground))
        between = sum(found.rate for found in bare) / len(bare)
        figures.append(_beside(kind.what, ours, "the bare POST", between, kind.of_bare, 0.5 if kind.of_bare else None))
        figures.append(_beside(kind.what, ours, "psik /jobs/new", theirs, kind.of_psik, None))
    return figures


def _bare(ground: Ground) -> Load:
    return run_load(ground.bare, lambda _: post("/jobs", JOB), clients=_CLIENTS, seconds=1)


def _beside(what: str, ours: Load, name: str, theirs: float, limit: float | None, aim: float | None) -> Figure:
    value = ours.rate / theirs if theirs else 0.0
    return Figure(what, f"{ours.rate:,.0f}/s", f"{name} {theirs:,.0f}/s", value, limit, aim=aim)


def _submit(stack: Stack, kind: _Kind, seconds: float) -> Load:
    token = stack.tokens["owner"]

    def ask(_: int) -> bytes:
        return post("/v1/jobs", kind.body, token, kind.headers)

    run_load(stack.url, ask, clients=_CLIENTS, seconds=seconds / 3)
    before = cpu_of(stack.pids)
    with _standing_still(stack.pids["scheduler"], wanted=kind.alone):
        found = run_load(stack.url, ask, clients=_CLIENTS, seconds=seconds, keep=True)
        spent = cpu_note(f"submit ({kind.what})", before, cpu_of(stack.pids), len(found.times))
    ids = [json.loads(body)["id"] for body in found.bodies]
    assert len(set(ids)) == len(ids)
    ROW.notes.append(f"{spent}; p50 {found.p(0.5):.1f} ms, p99 {found.p(0.99):.1f} ms")
    if found.bad:
        ROW.notes.append(f"answers that were not 2xx: {found.bad}")
    return found


@contextmanager
def _standing_still(pid: int, *, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _psik(ground: Ground, seconds: float) -> float:
    # One client at a time: with several it loses transitions and answers 500.
    body = json.dumps({"script": "true"}).encode()
    rounds = [
        run_load(ground.psik.removesuffix("/v1"), lambda _: post("/v1/jobs/new", body), clients=1, seconds=seconds / 2)
        for _ in range(3)
    ]
    return sorted(found.rate for found in rounds)[len(rounds) // 2]


ROW = Row("submits", f"durable submits accepted by one gateway worker, {_CLIENTS} clients", _measure)
