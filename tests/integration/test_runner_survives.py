"""Runs survive their runner; a runner that is told to stop leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.runs import RunTask, StepName
from contracts.states import Reason
from deploy.local import servers
from services.chassis.settings import NatsSettings
from services.scheduler.runner.census import Census
from tests.support.runners import Desk, a_task, open_desk, runner_process, running
from tests.support.servers import free_ports


@pytest_asyncio.fixture
async def desk(nats: NatsSettings) -> AsyncIterator[Desk]:
    async with open_desk(nats) as desk:
        yield desk


def _living(task: RunTask) -> int:
    return len(Census().members(f"{task.workload_id}.{task.attempt}"))


async def test_a_new_runner_adopts_what_a_killed_one_ran(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    goes_on = a_task("sh", "-c", "while [ ! -e go ]; do sleep 0.05; done; exit 5")
    ends_meanwhile = a_task("sh", "-c", "while [ ! -e go ]; do sleep 0.05; done; exit 6")
    waits = a_task("true", cpus=4)
    tasks = (goes_on, ends_meanwhile, waits)
    with runner_process(nats, tmp_path / "runs") as start:
        first = start()
        for task in tasks:
            await desk.give(task)
        await desk.until(goes_on, StepName.RUNNING)
        await desk.until(ends_meanwhile, StepName.RUNNING)
        first.send_signal(signal.SIGKILL)
        first.wait()
        (tmp_path / "runs" / f"{ends_meanwhile.workload_id}.1" / "work" / "go").touch()
        while _living(ends_meanwhile):
            pass
        assert _living(goes_on)
        start()
        assert (await desk.until(ends_meanwhile, StepName.DONE)).exit_code == 6
        (tmp_path / "runs" / f"{goes_on.workload_id}.1" / "work" / "go").touch()
        done = await desk.until(goes_on, StepName.DONE)
        assert (done.reason, done.exit_code) == (Reason.EXITED, 5)
        assert (await desk.until(waits, StepName.DONE)).exit_code == 0
    for task in tasks:
        numbers = [report.number for report in desk.reports if report.workload_id == task.workload_id]
        assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))


async def test_what_is_adopted_after_the_clock_was_set_ahead_has_not_run_longer_for_that(
    nats: NatsSettings, desk: Desk, tmp_path: Path
) -> None:
    task = a_task("sh", "-c", "while [ ! -e go ]; do sleep 0.05; done", walltime=600.0)
    folder = tmp_path / "runs" / f"{task.workload_id}.1"
    with runner_process(nats, tmp_path / "runs") as start:
        first = start()
        await desk.give(task)
        await desk.until(task, StepName.RUNNING)
        first.send_signal(signal.SIGKILL)
        first.wait()
        line, _, process = (folder / "start.json").read_text().partition("\n")
        noted = json.loads(line)
        an_hour_ago = datetime.fromisoformat(noted["started_at"]) - timedelta(hours=1)
        (folder / "start.json").write_text(json.dumps(noted | {"started_at": an_hour_ago.isoformat()}) + f"\n{process}")
        start()
        assert (await desk.control("observe", task)).known
        await asyncio.sleep(0.3)
        (folder / "work" / "go").touch()
        done = await desk.until(task, StepName.DONE)
    assert (done.reason, done.exit_code) == (Reason.EXITED, 0)
    assert done.usage
    assert done.usage.wall_seconds < 600


async def test_output_goes_on_where_the_killed_runner_stopped(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = a_task("sh", "-c", "seq 1000; while [ ! -e go ]; do sleep 0.05; done; seq 1000; sleep 300")
    with runner_process(nats, tmp_path / "runs") as start:
        first = start()
        await desk.give(task)
        expected = b"".join(b"%d\n" % number for number in range(1, 1001))
        await desk.until(task, StepName.RUNNING)
        while (await desk.log(task, "stdout"))[0] != expected:  # noqa: ASYNC110 (of another process)
            await asyncio.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait()
        (tmp_path / "runs" / f"{task.workload_id}.1" / "work" / "go").touch()
        start()
        while (await desk.log(task, "stdout"))[0] != expected * 2:  # noqa: ASYNC110 (of another process)
            await asyncio.sleep(0.05)
        await desk.control("cancel", task)
        await desk.until(task, StepName.EXITED)
        assert _living(task) == 0


async def test_what_died_unseen_was_interrupted(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = a_task("sleep", "300")
    with runner_process(nats, tmp_path / "runs") as start:
        first = start()
        await desk.give(task)
        await desk.until(task, StepName.RUNNING)
        first.send_signal(signal.SIGKILL)
        first.wait()
        for member in Census().members(f"{task.workload_id}.1"):
            signal.pidfd_send_signal(os.pidfd_open(member.proc.pid), signal.SIGKILL)
        start()
        assert (await desk.until(task, StepName.DONE)).reason is Reason.INTERRUPTED


async def test_a_runner_that_is_told_to_stop_leaves_nothing_behind(
    nats: NatsSettings, desk: Desk, tmp_path: Path
) -> None:
    runs = a_task("sh", "-c", "setsid sleep 300 & sleep 300", cpus=4)
    waits = a_task("true")
    with runner_process(nats, tmp_path / "runs") as start:
        process = start()
        await desk.give(runs)
        await desk.until(runs, StepName.RUNNING)
        await desk.give(waits)
        while not (await desk.control("observe", waits)).known:
            pass
        process.send_signal(signal.SIGTERM)
        for task in (runs, waits):
            assert (await desk.until(task, StepName.DONE)).reason is Reason.INTERRUPTED
        assert process.wait(10) == 0
    assert _living(runs) == 0


async def test_tasks_that_are_given_while_no_runner_lives_run_later(
    nats: NatsSettings, desk: Desk, tmp_path: Path
) -> None:
    async with running(nats, tmp_path / "runs"):
        await desk.run(a_task("true"))
    await desk.give(task := a_task("true"))
    async with running(nats, tmp_path / "runs"):
        assert (await desk.until(task, StepName.DONE)).exit_code == 0


@pytest.mark.own_stores("it kills its NATS")
async def test_reports_and_output_wait_until_nats_is_back(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    spec = servers.nats_server(tmp_path / "nats", port=port, monitor_port=port + 10_000)
    settings = NatsSettings(url=f"nats://127.0.0.1:{port}")
    task = a_task("sh", "-c", "echo one; sleep 0.7; echo two; exit 3")
    process = await servers.start(spec, tmp_path / "nats.log")
    try:
        async with running(settings, tmp_path / "runs", heartbeat=0.1, drain=0.5):
            async with open_desk(settings) as desk:
                await desk.give(task)
                await desk.until(task, StepName.RUNNING)
            await servers.stop(spec, process)
            while _living(task):
                pass
            process = await servers.start(spec, tmp_path / "nats.log")
            async with open_desk(settings) as desk:
                assert (await desk.until(task, StepName.EXITED)).exit_code == 3
                while (await desk.log(task, "stdout"))[0] != b"one\ntwo\n":
                    pass
                assert (await desk.run(a_task("true"))).exit_code == 0
                numbers = [report.number for report in desk.reports if report.workload_id == task.workload_id]
                assert numbers == list(range(1, len(numbers) + 1))
                await desk.control("cancel", task)
    finally:
        await servers.stop(spec, process)
