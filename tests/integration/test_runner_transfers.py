"""Inputs come, checked; outputs and logs go home before the last word."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.runs import StepName
from contracts.spec import Output
from contracts.states import Reason
from services.chassis.settings import NatsSettings
from services.scheduler.runner.census import Census
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


async def test_inputs_are_there_before_the_program(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    large = os.urandom(6_000_000)
    inputs = [storage.add("data/large.bin", large), storage.add("small.txt", b"hello"), storage.add("empty", b"")]
    task = a_task("sh", "-c", "cat small.txt empty data/large.bin > all", inputs=inputs, outputs=[Output(path="all")])
    storage.away = 2
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(task)
    assert (done.reason, done.message) == (Reason.EXITED, "")
    assert next(step.step for step in desk.steps(task)) is StepName.STARTING
    assert storage.read("outputs/all") == b"hello" + large


async def test_an_input_that_is_not_what_was_submitted_stops_the_run(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(a_task("true", inputs=[storage.add("a.txt", b"hello", sha256="0" * 64)]))
        capacity = (await desk.control("capacity")).capacity
    assert done.reason is Reason.STAGING
    assert done.message.startswith("changed: input a.txt")
    assert done.usage
    assert capacity
    assert capacity.cpus_free == 4


async def test_an_input_whose_bytes_are_kept_no_more_was_changed(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    gone = storage.add("data/a.txt", b"hello").model_copy(update={"key": "in/gone", "source": "mine/a.txt"})
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(a_task("true", inputs=[storage.add("b", b"b"), gone]))
    assert done.reason is Reason.STAGING
    assert done.message.startswith("changed: input data/a.txt (mine/a.txt)")


@pytest.mark.parametrize("files", ["auto", "replace"])
async def test_the_program_of_an_application_finds_its_folder_at_files(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path, files: str
) -> None:
    script = 'mkdir /files/model; cat /files/data/* "$MORE" >/files/model/all; cd /; ls "$SHUNTER_FILES"; exit 0'
    task = a_task(
        script=script,
        files="/files",
        env={"MORE": "/files/more"},
        inputs=[storage.add("data/b", b"2"), storage.add("data/a", b"1"), storage.add("more", b"3")],
        outputs=[Output(path="model", to="artifact/first"), Output(path="none", required=False)],
    )
    async with running(nats, tmp_path / "runs", files=files):
        done = await desk.run(task)
        log, _ = await desk.log(task, "stdout")
    assert (done.reason, done.message) == (Reason.EXITED, "")
    assert log == b"data\nmodel\nmore\n"
    assert [(file.path, file.at) for file in done.outputs] == [("outputs/model/all", "artifact/first/model/all")]
    assert storage.read("outputs/model/all") == b"123"
    assert storage.elsewhere == {"outputs/model/all": "artifact/first"}
    (running_step,) = [step for step in desk.steps(task) if step.step is StepName.RUNNING]
    assert running_step.message.startswith("/files ")
    assert files == "auto" or "replaced" in running_step.message


@pytest.mark.usefixtures("storage")
async def test_a_program_behind_a_mount_is_ended_like_any_other(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = a_task(script="echo here; sleep 1000 & wait", files="/files", walltime=1.0)
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(task)
    assert done.reason is Reason.WALLTIME
    assert not list(Census().members(f"{task.workload_id}.1"))


async def test_outputs_are_brought_home_by_pattern(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    script = """
    mkdir -p results/deep; echo 1 > results/a.csv; echo 2 > results/deep/b.csv; echo 3 > results/c.txt
    mkdir model; head -c 12000000 /dev/zero > model/weights; echo x > 'odd[1].txt'
    ln -s /etc/passwd results/stolen.csv; ln -s /etc results/etc; ln -s a.csv results/link.csv
    """
    outputs = [Output(path=path) for path in ("results/**/*.csv", "model", "odd[1].txt")]
    outputs.append(Output(path="maybe/*", required=False))
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(a_task(script=script, outputs=outputs))
    assert done.reason is Reason.EXITED
    assert {file.path for file in done.outputs} == {
        *("outputs/results/a.csv", "outputs/results/deep/b.csv", "outputs/results/link.csv"),
        *("outputs/model/weights", "outputs/odd[1].txt"),
    }
    assert storage.read("outputs/results/deep/b.csv") == b"2\n"
    assert storage.stored["outputs/model/weights"].size == 12_000_000
    assert storage.read("outputs/model/weights") == bytes(12_000_000)


@pytest.mark.parametrize(("code", "reason"), [(0, Reason.STAGING), (4, Reason.EXITED)])
async def test_a_missing_output_spoils_only_a_success(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path, code: int, reason: Reason
) -> None:
    outputs = [Output(path="there"), Output(path="missing.bin")]
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(a_task("sh", "-c", f"echo hi > there; echo out; exit {code}", outputs=outputs))
    assert (done.reason, done.exit_code) == (reason, code)
    assert "missing.bin" in done.message
    assert [file.path for file in done.outputs] == ["outputs/there"]
    assert [file.path for file in done.logs] == ["logs/1/stdout"]


async def test_an_output_that_storage_refuses_is_named(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    storage.refuses = "outputs/big"
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(a_task("sh", "-c", "echo hi > big", outputs=[Output(path="big")]))
    assert done.reason is Reason.STAGING
    assert done.message == "outputs/big is over the quota"


async def test_a_run_is_canceled_while_its_inputs_come(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    task = a_task("true", inputs=[storage.add("a.txt", b"hello")])
    storage.away = 1000
    async with running(nats, tmp_path / "runs"):
        await desk.give(task)
        await desk.until(task, StepName.STARTING)
        await desk.control("cancel", task)
        assert (await desk.until(task, StepName.DONE)).reason is Reason.CANCELED


async def test_a_run_is_canceled_while_its_outputs_cannot_go(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    task = a_task("touch", "out", outputs=[Output(path="out")])
    storage.away = 1000
    async with running(nats, tmp_path / "runs", heartbeat=0.1):
        await desk.give(task)
        await desk.until(task, StepName.EXITED)
        await desk.until(task, StepName.ALIVE)
        await desk.control("cancel", task)
        assert (await desk.until(task, StepName.DONE)).reason is Reason.CANCELED
