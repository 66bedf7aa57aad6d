"""The engine for Slurm on a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest_asyncio

from contracts.errors import RefusedError
from services.scheduler.backends.engines.base import EngineMeans, Launch, Native, NativeState, Order
from services.scheduler.backends.engines.slurm.engine import SlurmEngine
from tests.support.slurm_cluster import SlurmCluster, needs_slurm, run_slurm, until

pytestmark = [needs_slurm]

async def test_x() -> None:
    t0 = monotonic()
    async with run_slurm() as cluster:
        print("up", monotonic() - t0)
        engine = SlurmEngine(cluster.settings(), EngineMeans("hpc", "s1", Path("/tmp")))
        o = Order("s1-a-1", "o", None, "t", Launch("#!/bin/sh\necho $SECRET; sleep 5", {"SECRET": "x"}, Path("/x")), 1, None, 0, 60)
        print(await engine.capacity())
        t0 = monotonic()
        print(await engine.start([o]), monotonic() - t0)
        while True:
            print(await engine.look([]), monotonic() - t0)
            await asyncio.sleep(.5)
            if monotonic() - t0 > 8: break
        t0 = monotonic()
    print("down", monotonic() - t0)
