"""Output is published while it grows: every byte, once, in order."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from contracts.runs import StepName
from services.chassis.settings import NatsSettings
from tests.support.run_storage import RunStorage, run_storage
from tests.support.runners import Desk, a_task, open_desk, running
from tests.support.servers import S3


@pytest_asyncio.fixture
async def desk(nats: NatsSettings) -> AsyncIterator[Desk]:
    async with open_desk(nats) as desk:
        yield desk


@pytest_asyncio.fixture
async def storage(desk: Desk, s3: S3) -> AsyncIterator[RunStorage]:
    async with run_storage(desk.connection, s3) as storage:
        yield storage


async def test_any_bytes_arrive_as_they_are(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    write = "import sys, os; os.write(1, bytes(range(256)) * 100); os.write(2, 'ä€😀'.encode() + b'\\xff\\xfe\\xf0')"
    task = a_task("python", "-c", write)
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(task)
    assert await desk.log(task, "stdout") == (bytes(range(256)) * 100, True)
    assert await desk.log(task, "stderr") == ("ä€😀".encode() + b"\xff\xfe\xf0", True)
    assert {file.path for file in done.logs} == {"logs/1/stdout", "logs/1/stderr"}
    assert storage.read("logs/1/stdout") == bytes(range(256)) * 100


async def test_a_large_output_is_complete(nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path) -> None:
    task = a_task("sh", "-c", "head -c 22500000 /dev/urandom | base64 -w 100 | tee copy")
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(task)
    body, closed = await desk.log(task, "stdout")
    copy = (tmp_path / "runs" / f"{task.workload_id}.1" / "work" / "copy").read_bytes()
    assert len(copy) > 30_000_000
    assert (body == copy, closed) == (True, True)
    (log,) = done.logs
    assert (log.size, log.sha256) == (len(copy), hashlib.sha256(copy).hexdigest())
    assert storage.read("logs/1/stdout") == copy


async def test_output_can_be_read_while_the_program_runs(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    task = a_task("sh", "-c", "echo one; printf 'no end'; sleep 300")
    async with running(nats, tmp_path / "runs"):
        await desk.give(task)
        while (found := await desk.log(task, "stdout"))[0] != b"one\nno end":
            assert not found[1]
        await desk.control("cancel", task)
        done = await desk.until(task, StepName.DONE)
        assert await desk.log(task, "stdout") == (b"one\nno end", True)
    assert [file.path for file in done.logs] == ["logs/1/stdout"]
    assert storage.read("logs/1/stdout") == b"one\nno end"


async def test_a_silent_run_publishes_nothing(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(task := a_task("true"))
    assert await desk.log(task, "stdout") == (b"", False)
    assert done.logs == []


async def test_only_so_much_is_published_live(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    async with running(nats, tmp_path / "runs", live_logs=1000):
        done = await desk.run(task := a_task("seq", "10000"))
    body, closed = await desk.log(task, "stdout")
    assert (len(body), closed) == (1000, True)
    assert done.logs[0].size == 48894
