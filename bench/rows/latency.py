"""`true` from submit to its end, one at a time, by turns with psik_api."""

from __future__ import annotations

import statistics

from bench.ground import Ground
from bench.latency import compare
from bench.load import percentile
from bench.table import Figure, Row

__all__ = ["ROW"]


def _measure(ground: Ground) -> list[Figure]:
    found = compare(ground.stack.client("owner"), ground.psik, rounds=ground.size(5, 1), each=ground.size(8, 3))
    ours, theirs = statistics.median(found.ours) * 1000, statistics.median(found.theirs) * 1000
    ROW.notes.append(f"p95 {percentile(found.ours, 0.95) * 1000:.0f} ms; psik lost {found.lost}")
    return [
        Figure("median", f"{ours:.0f} ms", f"psik {theirs:.0f} ms", found.ratio, 1 / 6, small_is_good=True),
        Figure("median", f"{ours:.0f} ms", "", ours, 200, "ms", aim=60, small_is_good=True),
    ]


ROW = Row("latency", "`true`, submit to succeeded, one at a time", _measure)
