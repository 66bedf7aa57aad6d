"""The GPUs of this machine, where it has any: NVML as the runner and the pilot read it, and runs that hold one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.runs import StepName
from services.chassis.settings import NatsSettings
from services.scheduler.pilot import gpus as pilot
from services.scheduler.runner.gpus import detect_gpus
from tests.support.pilots import open_work, pilots
from tests.support.runners import Desk, a_task, open_desk, running

_FOUND = detect_gpus()
_HELD = 2**30
"""Bytes of a GPU."""
_BUSY = f"""
import time, torch
held, some = torch.zeros({_HELD}, dtype=torch.uint8, device="cuda"), torch.randn(8192, 8192, device="cuda")
end = time.time() + 5
while time.time() < end:
    some = (some @ some).clamp(-1, 1)
    torch.cuda.synchronize()
"""

pytestmark = [
    pytest.mark.skipif(not _FOUND.list(), reason="no GPU of NVIDIA is here, or no driver answers"),
    pytest.mark.own_stores("its NATS lets in whoever comes"),
]


@pytest_asyncio.fixture
async def desk(nats: NatsSettings) -> AsyncIterator[Desk]:
    async with open_desk(nats) as found:
        yield found


def _by_the_driver() -> list[tuple[int, str, int]]:
    """Return number, model and mebibytes of each GPU, as the driver's own program says."""
    asked = ("nvidia-smi", "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits")
    lines = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [[word.strip() for word in line.split(",")] for line in lines]
    return [(int(index), name, int(memory)) for index, name, memory in rows]


async def test_the_runner_and_the_pilot_see_what_the_driver_says() -> None:
    said = _by_the_driver()
    assert [(gpu.index, gpu.model, gpu.memory >> 20) for gpu in _FOUND.list()] == said
    everyone, nobody = pilot.detect({}), pilot.detect({"CUDA_VISIBLE_DEVICES": ""})
    assert (len(everyone), everyone.model, len(nobody)) == (len(said), said[0][1], 0)
    last = pilot.detect({"CUDA_VISIBLE_DEVICES": str(said[-1][0])})
    assert (len(last), last.model) == (1, said[-1][1])
    assert 0 < last.memory_used() < said[-1][2] << 20
    assert 0 <= last.busy() <= 1
    assert abs(last.memory_used() - _FOUND.memory_used([said[-1][0]])) < 1 << 30


async def test_a_pilot_meters_the_gpu_that_its_cluster_gave(nats: NatsSettings, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="it is PyTorch that keeps the GPU busy")
    task = a_task(sys.executable, "-c", _BUSY, gpus=1)
    async with open_work(nats) as work:
        work.tasks.append(task)
        with pilots(tmp_path, nats.url, sys.executable) as cluster:
            process = cluster.start(CUDA_VISIBLE_DEVICES=str(_FOUND.list()[-1].index))
            done = await work.desk.until(task, StepName.DONE)
            assert await cluster.ended(process) == 0, cluster.said
        running = await work.desk.until(task, StepName.RUNNING)
        exited = await work.desk.until(task, StepName.EXITED)
    assert done.exit_code == 0, done.message
    assert running.allocation is not None
    assert (running.allocation.gpus, running.allocation.gpu_model) == (1, _FOUND.list()[-1].model)
    assert exited.usage is not None
    assert 1 < exited.usage.gpu_seconds <= exited.usage.wall_seconds
    assert exited.usage.gpu_memory_peak > _HELD


async def test_a_gpu_is_one_runs_at_a_time(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    count = len(_FOUND.list())
    script = 'echo "$CUDA_VISIBLE_DEVICES" >gpus; date +%s.%N >>gpus; sleep 1; date +%s.%N >>gpus'
    tasks = [a_task(script=script, gpus=1) for _ in range(count + 1)]
    async with running(nats, tmp_path / "runs"):
        for task in tasks:
            await desk.give(task)
        done = [await desk.until(task, StepName.DONE) for task in tasks]
    assert [step.exit_code for step in done] == [0] * len(tasks)
    held = _held(tmp_path / "runs", [task.workload_id for task in tasks])
    assert sorted(held) == [str(gpu.index) for gpu in _FOUND.list()]
    for spans in held.values():
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(sorted(spans)))


def _held(runs: Path, jobs: list[str]) -> dict[str, list[tuple[float, float]]]:
    """Return from when to when each GPU was a run's, by its number."""
    found: dict[str, list[tuple[float, float]]] = {}
    for job in jobs:
        index, began, ended = (runs / f"{job}.1" / "work" / "gpus").read_text().split()
        found.setdefault(index, []).append((float(began), float(ended)))
    return found
