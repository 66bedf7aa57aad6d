"""500 jobs `true` through Shunter on a real Slurm beside plain `sbatch`, and what Shunter adds before a job starts."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from dataclasses import dataclass

from bench.ground import Ground
from bench.rows.jobs import run_jobs
from bench.table import Figure, Row
from services.scheduler.backends.engines.slurm.calls import parse_row
from services.scheduler.backends.engines.slurm.register import Register
from tests.support.cluster_site import BACKEND, ClusterSite, cluster_site
from tests.support.slurm_beside import SlurmBeside, slurm_beside

__all__ = ["ROW"]

_PLACED = {"placement": {"backend": BACKEND}, "resources": {"walltime": 60}}
_TRUE = json.dumps({"argv": ["true"], **_PLACED}).encode()
_NOW = "date +%s.%N"
_LIVE = 10_000
"""Jobs in the queue that is read."""


def _measure(ground: Ground) -> list[Figure]:
    count, rounds = ground.size(500, 20), ground.size(20, 3)
    pack = {"most": 100, "cpus": 4, "walltime": 60}
    with slurm_beside() as slurm, cluster_site(ground.folder / "slurm", slurm.backend(pack=pack)) as site:
        run_jobs(site.stack, ground.size(20, 5), _TRUE)
        slurm.until_empty()
        plain = _plain(slurm, count)
        ours = run_jobs(site.stack, count, _TRUE)
        slurm.until_empty()
        starts = [_starts(site, slurm, turn / rounds) for turn in range(rounds)]
    mine, theirs = (statistics.median(times) * 1000 for times in zip(*starts, strict=True))
    poll = _poll()
    ROW.notes.append(
        f"{_LIVE:,} lines of the queue: {poll.first:.0f} ms when all are new, {poll.again:.0f} ms after that"
    )
    return [
        Figure("done", f"{ours:.1f}/s", f"plain sbatch {plain:.1f}/s", ours / plain, 0.8),
        _added(mine, theirs),
        Figure(
            f"a look at {_LIVE:,} jobs every 2 s",
            f"{poll.again:.1f} ms",
            "",
            poll.again / 20,
            5,
            "%",
            small_is_good=True,
        ),
    ]


def _added(mine: float, theirs: float) -> Figure:
    added = mine - theirs
    beside = f"plain sbatch {theirs:.0f} ms"
    return Figure("submit to start, median", f"{mine:.0f} ms", beside, added, 150, "ms more", small_is_good=True)


def _plain(slurm: SlurmBeside, count: int) -> float:
    """Submit jobs one after the other, as a script does, and wait for all; returns jobs done per second."""
    began = time.perf_counter()
    line = "printf '#!/bin/sh\\ntrue\\n' | sbatch --parsable --output=/dev/null --time=1 >/dev/null"
    slurm.call("sh", "-c", f"n=0; while [ $n -lt {count} ]; do {line}; n=$((n + 1)); done")
    slurm.until_empty(within=600)
    return count / (time.perf_counter() - began)


def _starts(site: ClusterSite, slurm: SlurmBeside, phase: float) -> tuple[float, float]:
    """Start one through Shunter and one without, both at this *phase* of a second.

    Slurm looks for jobs to start once a second: begun where the one before has ended, each would always meet it at the
    same place.
    """
    _until_phase(phase)
    ours = _start_of_ours(site, slurm)
    _until_phase(phase)
    return ours, _start_of_plain(slurm)


def _until_phase(phase: float) -> None:
    time.sleep((phase - time.time()) % 1)


def _start_of_ours(site: ClusterSite, slurm: SlurmBeside) -> float:
    began = time.time()
    job = site.run("sh", "-c", _NOW, resources=_PLACED["resources"])
    slurm.until_empty()
    return float(site.log(job)) - began


def _start_of_plain(slurm: SlurmBeside) -> float:
    out = slurm.cluster.work / "start"
    began = time.time()
    slurm.call("sbatch", "--parsable", f"--output={out}", "--time=1", stdin=f"#!/bin/sh\n{_NOW}\n")
    slurm.until_empty()
    return float(out.read_text()) - began


@dataclass(frozen=True, slots=True)
class _Poll:
    first: float
    again: float


def _poll() -> _Poll:
    """Read a queue of many jobs, twice: milliseconds of CPU."""
    lines = [f"{n}|{1795722000 + n}|s1-{n:032x}-1|RUNNING|0|0|n{n % 900}|None" for n in range(_LIVE)]
    register, times = Register("s1"), [time.process_time()]
    rows = [row for row in map(parse_row, lines) if row]
    for _ in range(2):
        register.read(rows, ())
        times.append(time.process_time())
    return _Poll(*((after - before) * 1000 for before, after in itertools.pairwise(times)))


ROW = Row("slurm", "500 jobs `true` on Slurm, and the start of one", _measure)
