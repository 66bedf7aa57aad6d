"""A real controller of Slurm that crashes before it has written down what it took, and gives the numbers to others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
import pytest_asyncio

from services.scheduler.backends.engines.base import Native, NativeState
from services.scheduler.backends.engines.slurm.engine import SlurmEngine
from services.scheduler.backends.engines.slurm.identity import array_of
from tests.support.slurm_bench import Bench
from tests.support.slurm_cluster import needs_slurm, run_slurm, until

pytestmark = [needs_slurm, pytest.mark.asyncio]

_TRIES = 5


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with run_slurm() as cluster:
        found = Bench(cluster, "tcrash", tmp_path, last_words=1)
        yield found
        await found.end()


async def _lose(bench: Bench, turn: int) -> list[Native]:
    """Start an array and a job of its own, and crash the controller before it has written them down."""
    await bench.start(bench.order(f"kept{turn}", cpus=3))
    await bench.cluster.saved()  # now it writes nothing for some seconds
    orders = [bench.order(f"lost{turn}{word}") for word in "abc"]
    lost = await bench.start(*orders, bench.order(f"lone{turn}", cpus=2))
    await bench.cluster.kill("slurmctld")
    await bench.cluster.start_controller()
    there = await bench.engine.look(lost)
    return [native for native in lost if native.name not in there]


async def _stranger(bench: Bench) -> str:
    """Submit a job of somebody else's; returns its number."""
    argv = ("sbatch", "--parsable", "--job-name=bash", "--output=/dev/null", "--cpus-per-task=1")
    return (await bench.cluster.call(*argv, stdin="#!/bin/sh\nsleep 300\n")).strip()


async def _alive(bench: Bench) -> set[str]:
    return set((await bench.cluster.call("squeue", "--noheader", "--array", "--format=%i")).split())


def _numbers(natives: Collection[Native]) -> set[str]:
    return {array_of(native.native_id) for native in natives}


async def test_a_number_that_was_given_again_is_another_job(bench: Bench) -> None:
    """Nothing is said of the jobs that were lost, and nothing is done to those that have their numbers now."""
    for turn in range(_TRIES):
        lost = await _lose(bench, turn)
        stranger = await _stranger(bench)
        fresh = await bench.start(*(bench.order(f"new{turn}{word}") for word in "ab"))
        if lost and stranger in _numbers(lost) and _numbers(fresh) <= _numbers(lost):
            break
        await bench.cluster.clear()  # or there is no room for the next ones
    else:
        pytest.fail("the controller has lost nothing")
    before = await _alive(bench)
    assert all("@" in native.native_id for native in (*lost, *fresh))
    # To whom the array does not say its names they go by the table, which knows when each was submitted.
    await bench.cluster.call("scontrol", "update", f"jobid={array_of(fresh[0].native_id)}", "comment=x")
    for engine in (bench.engine, SlurmEngine(bench.cluster.settings(last_words=1), bench.engine.means)):
        known = [*lost, *fresh]
        for _ in range(2):
            found = await engine.look(known)
            assert found.keys().isdisjoint({one.name for one in lost})
            assert {one.name: found[one.name].native_id for one in fresh} == {one.name: one.native_id for one in fresh}
        await engine.stop(lost)
        await engine.remove(lost)
        await engine.close()
    assert await _alive(bench) >= before
    await until(lambda: _run(bench, fresh))
    await bench.cluster.call("scancel", stranger)


async def _run(bench: Bench, natives: list[Native]) -> bool:
    found = await bench.engine.look(natives)
    return all(found[native.name].state is NativeState.RUNNING for native in natives)
