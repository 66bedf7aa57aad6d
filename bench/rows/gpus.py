"""Training on real GPUs through Shunter, beside the same program started by hand, one after the other."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from bench.ground import Ground
from bench.table import Figure, Row
from deploy.local.demo.digits import packed_digits
from tests.support.jobs import submit, until_ended

__all__ = ["ROW"]

_SCRIPT = Path(__file__).parents[2] / "deploy" / "local" / "demo" / "train_gpu.py"
_PATIENCE = 300.0
"""Seconds."""

Told = Mapping[str, Any]
"""What the training said of itself."""


def _measure(ground: Ground) -> list[Figure]:
    client, count = ground.stack.client("owner"), ground.size(5, 2)
    found = client.get("/v1/backends").raise_for_status().json()["items"]
    local = next(backend for backend in found if backend["backend"] == "local")
    if not local["gpus"]:
        ROW.notes.append("there is no GPU here")
        return []
    ROW.notes.append(f"on {local['gpus']} x {', '.join(local['gpu_models'])}")
    folder = ground.folder / "gpus"
    _prepare(client, folder)
    _by_hand(folder, 1)  # what was read from the disk once is there for both
    bare, bare_seconds = _by_hand(folder, count)
    jobs, seconds = _as_jobs(client, count, local["gpus"])
    return _figures(bare, bare_seconds, jobs, seconds)


def _figures(bare: list[Told], bare_seconds: float, jobs: list[Told], seconds: float) -> list[Figure]:
    count = len(jobs)
    ours, theirs = (statistics.median(told["images_per_second"] for told in group) for group in (jobs, bare))
    busy = sum(job["usage"]["gpu_seconds"] for job in jobs)
    trained = sum(told["ended"] - told["began"] for told in jobs)
    spans = [(told["started"], told["started"] + told["usage"]["wall_seconds"]) for told in jobs]
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(spans)]
    name = f"{count} trainings on one GPU, submit to the last end"
    return [
        Figure("images learnt from", f"{ours:,.0f}/s", f"by hand {theirs:,.0f}/s", ours / theirs, 0.95),
        Figure(
            name, f"{seconds:.1f} s", f"by hand {bare_seconds:.1f} s", seconds / bare_seconds, 1.2, small_is_good=True
        ),
        Figure(
            "between the end of a program and the start of the next, median",
            f"{len(gaps)} times",
            "",
            statistics.median(gaps) * 1000,
            None,
            "ms",
        ),
        Figure("GPU seconds by NVML", f"{busy:.1f}", f"seconds of training {trained:.1f}", busy / trained, None),
    ]


def _prepare(client: httpx.Client, folder: Path) -> None:
    folder.mkdir()
    (folder / "digits.npz").write_bytes(packed_digits())
    (folder / _SCRIPT.name).write_bytes(_SCRIPT.read_bytes())
    for name in ("digits.npz", _SCRIPT.name):
        client.put(f"/v1/files/gpus/{name}", content=(folder / name).read_bytes()).raise_for_status()


def _by_hand(folder: Path, count: int) -> tuple[list[Told], float]:
    found, began = [], time.perf_counter()
    for _ in range(count):
        subprocess.run([sys.executable, _SCRIPT.name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        found.append(json.loads((folder / "metrics.json").read_text()))
    return found, time.perf_counter() - began


def _as_jobs(client: httpx.Client, count: int, gpus: int) -> tuple[list[Told], float]:
    """Submit all at once; each has all the GPUs, and the next one waits. Returns them in the order of their turns."""
    spec: dict[str, Any] = {
        "resources": {"gpus": {"count": gpus}, "walltime": "5m"},
        "inputs": [{"source": f"gpus/{name}"} for name in ("digits.npz", _SCRIPT.name)],
        "outputs": [{"path": "model.pt"}, {"path": "metrics.json"}],
    }
    began = time.perf_counter()
    ids = [submit(client, sys.executable, _SCRIPT.name, **spec) for _ in range(count)]
    jobs = [until_ended(client, job, _PATIENCE) for job in ids]
    seconds = time.perf_counter() - began
    return sorted((_told(client, job) for job in jobs), key=lambda told: float(told["began"])), seconds


def _told(client: httpx.Client, job: dict[str, Any]) -> Told:
    assert job["state"] == "succeeded", job
    metrics = client.get(f"/v1/jobs/{job['id']}/files/outputs/metrics.json", follow_redirects=True).raise_for_status()
    started = datetime.fromisoformat(job["started_at"]).timestamp()
    return {**metrics.json(), "usage": job["usage"], "started": started}


ROW = Row("gpus", "training on a real GPU, beside the same program by hand", _measure)
