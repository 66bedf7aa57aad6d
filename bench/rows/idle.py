"""What the stack costs when nothing happens."""

from __future__ import annotations

from bench.ground import Ground
from bench.idle import measure, processes_of
from bench.table import Figure, Row

__all__ = ["ROW"]


def _measure(ground: Ground) -> list[Figure]:
    with ground.own_stack() as stack:
        found = measure(processes_of(stack.process.pid), ground.size(30, 3))
    return [
        Figure("memory (PSS)", f"{found.pss:.0f} MiB", "", found.pss, 600, "MiB", small_is_good=True),
        Figure("CPU", f"{found.cpu_percent:.1f} %", "", found.cpu_percent, 3, "%", small_is_good=True),
    ]


ROW = Row("idle", "the whole stack, idle", _measure)
