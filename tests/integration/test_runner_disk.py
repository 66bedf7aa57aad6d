"""A node whose disk is full: what ran there is told of, nothing is lost, and work goes on when there is room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.runs import StepName
from contracts.spec import Output
from contracts.states import Reason
from services.chassis.settings import NatsSettings
from tests.support.pilots import open_work, pilots
from tests.support.run_storage import RunStorage, run_storage
from tests.support.runners import Desk, a_task, open_desk, running
from tests.support.servers import S3
from tests.support.small_disk import fill, small_disk

_FULL = "the disk of its node is full"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "8m") as found:
        yield found


@pytest_asyncio.fixture
async def desk(nats: NatsSettings) -> AsyncIterator[Desk]:
    async with open_desk(nats) as found:
        yield found


@pytest_asyncio.fixture
async def storage(desk: Desk, s3: S3) -> AsyncIterator[RunStorage]:
    async with run_storage(desk.connection, s3) as found:
        yield found


async def test_a_program_that_fills_the_disk_fails_and_the_next_one_has_room(
    nats: NatsSettings, desk: Desk, storage: RunStorage, disk: Path
) -> None:
    greedy = a_task("sh", "-c", "echo kept >early; cat /dev/zero >big; exit 7", outputs=[Output(path="early")])
    async with running(nats, disk / "runs", keep=0.0):
        done = await desk.run(greedy)
        assert (done.reason, done.exit_code, done.message) == (Reason.EXITED, 7, f"exited with 7; {_FULL}")
        assert storage.read("outputs/early") == b"kept\n"
        after = await desk.run(a_task("sh", "-c", "head -c 1000000 /dev/zero >small"))
        assert (after.reason, after.exit_code) == (Reason.EXITED, 0)


async def test_inputs_for_which_the_disk_has_no_room_stop_a_run(
    nats: NatsSettings, desk: Desk, storage: RunStorage, disk: Path
) -> None:
    large = storage.add("large.bin", bytes(20_000_000))
    async with running(nats, disk / "runs", keep=0.0):
        done = await desk.run(a_task("true", inputs=[large]))
        assert (done.reason, "No space left" in done.message) == (Reason.STAGING, True)
        assert (await desk.run(a_task("true"))).exit_code == 0


async def test_a_task_that_cannot_be_kept_is_run_when_there_is_room(nats: NatsSettings, desk: Desk, disk: Path) -> None:
    async with running(nats, disk / "runs", keep=0.0):
        assert (await desk.run(a_task("true"))).exit_code == 0
        ballast = fill(disk)
        task = a_task("true")
        await desk.give(task)
        await asyncio.sleep(0.5)
        ballast.unlink()
        assert (await desk.until(task, StepName.DONE)).exit_code == 0


@pytest.mark.own_stores("its NATS lets in whoever comes")
async def test_a_pilot_says_that_the_disk_of_its_node_is_full(nats: NatsSettings, disk: Path) -> None:
    async with open_work(nats) as work:
        task = a_task("sh", "-c", "cat /dev/zero >big; exit 7")
        work.tasks.append(task)
        with pilots(disk, nats.url) as cluster:
            process = cluster.start()
            done = await work.desk.until(task, StepName.DONE)
            assert (done.exit_code, done.message) == (7, f"exited with 7; {_FULL}")
            assert await cluster.ended(process) == 0
