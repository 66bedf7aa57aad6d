"""Whether cost stays in proportion from 100 to 10,000 finished jobs: lists, submits and replay, at both ends."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import psutil

from bench.ground import JOB, Ground
from bench.grown import grow
from bench.load import get, post, run_load
from bench.table import Figure, Row
from tests.support.stack import Stack

from .jobs import run_jobs

__all__ = ["ROW"]


@dataclass(frozen=True, slots=True)
class _End:
    jobs: int
    page: float
    """Milliseconds of a page of 50, the median."""
    submits: float
    """A second."""
    replay: float
    """Events a second."""
    events: int


def _measure(ground: Ground) -> list[Figure]:
    few, many = ground.size(100, 20), ground.size(10_000, 300)
    with ground.own_stack() as stack:
        run_jobs(stack, 10)
        job = stack.client("owner").get("/v1/jobs", params={"state": "succeeded"}).json()["items"][0]["id"]
        grow(stack, job, few - 10)
        first = _look(stack, few)
        grow(stack, job, many - few)
        before = _memory(stack)
        last = _look(stack, many)
        grown = _memory(stack) - before
    ROW.notes.append(
        f"at {few} and {many} finished jobs: page {first.page:.1f} and {last.page:.1f} ms, "
        f"submits {first.submits:.0f} and {last.submits:.0f}/s, "
        f"replay {first.replay:,.0f}/s of {first.events:,} and {last.replay:,.0f}/s of {last.events:,} events"
    )
    return [
        Figure(f"list page among {many:,}", f"{last.page:.1f} ms", "", last.page, 20, "ms", small_is_good=True),
        Figure("memory after 400 pages", f"{grown:+.0f} MiB", "", grown, 20, "MiB", small_is_good=True),
        Figure("replay", f"{last.replay:,.0f} events/s", "", last.replay, 5000, "/s", aim=20_000),
        _ratio("list page, many to few", last.page, first.page, "ms"),
        _ratio("time of a submit, many to few", 1000 / last.submits, 1000 / first.submits, "ms"),
        _ratio("time of an event's replay, many to few", 1e6 / last.replay, 1e6 / first.replay, "µs"),
    ]


def _ratio(what: str, last: float, first: float, unit: str) -> Figure:
    # Linear means: one thing costs the same, however many there were before.
    return Figure(what, f"{last:.1f} {unit}", f"{first:.1f} {unit}", last / first, 1.5, small_is_good=True)


def _look(stack: Stack, jobs: int) -> _End:
    token = stack.tokens["owner"]
    pages = run_load(stack.url, lambda _: get("/v1/jobs?limit=50", token), clients=1, count=200)
    deep = stack.client("owner").get("/v1/jobs", params={"limit": min(jobs // 2, 1000)}).json()["next_cursor"]
    behind = run_load(stack.url, lambda _: get(f"/v1/jobs?limit=50&cursor={deep}", token), clients=1, count=200)
    submits = [run_load(stack.url, lambda _: post("/v1/jobs", JOB, token), clients=1, count=50).rate for _ in range(3)]
    run_jobs(stack, 5)
    reports = [stack.client("admin").post("/v1/audit/replay", timeout=600).raise_for_status().json() for _ in range(2)]
    report = min(reports, key=lambda found: float(found["seconds"]) / max(1, found["events"]))
    return _End(
        jobs,
        statistics.median(pages.times + behind.times) * 1000,
        statistics.median(submits),
        report["events"] / report["seconds"],
        report["events"],
    )


def _memory(stack: Stack) -> float:
    return sum(psutil.Process(stack.pids[name]).memory_info().rss for name in ("gateway", "scheduler")) / 2**20


ROW = Row("growth", "100 to 10,000 finished jobs: lists, submits, replay", _measure)
