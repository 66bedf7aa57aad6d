"""An array of 10,000 tasks `true`."""

from __future__ import annotations

import asyncio

from bench.arrays import measure
from bench.ground import Ground
from bench.table import Figure, Row

__all__ = ["ROW"]


def _measure(ground: Ground) -> list[Figure]:
    found = asyncio.run(measure(ground.stack.url, ground.stack.tokens["owner"], ground.size(10_000, 100)))
    rate = found.per_second
    return [Figure("tasks done", f"{rate:,.0f}/s, {found.seconds:.1f} s", "", rate, 200, "/s", aim=1000)]


ROW = Row("arrays", "one array of 10,000 tasks `true`", _measure)
