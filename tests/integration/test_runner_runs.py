"""A resident runner takes tasks from the queue, runs them and reports them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from contracts.runs import StepName
from contracts.states import Reason
from services.chassis.settings import NatsSettings
from services.scheduler.runner.room import Gpu
from tests.support.run_storage import run_storage
from tests.support.runners import Desk, FakeGpus, a_task, open_desk, running
from tests.support.servers import S3


@pytest_asyncio.fixture
async def desk(nats: NatsSettings) -> AsyncIterator[Desk]:
    async with open_desk(nats) as desk:
        yield desk


async def test_true_takes_one_report(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    async with running(nats, tmp_path / "runs") as settings:
        settings.runner.hold = 60.0  # the end does not wait for it
        done = await desk.run(a_task("true"))
    (report,) = desk.reports
    assert [step.step for step in report.steps] == [StepName.RUNNING, StepName.EXITED, StepName.DONE]
    assert (report.number, report.runner) == (1, "runner-1")
    assert (done.reason, done.exit_code, done.message) == (Reason.EXITED, 0, "")
    assert report.steps[0].allocation
    assert (report.steps[0].allocation.cpus, report.steps[0].allocation.backend) == (1, "local")
    assert done.usage
    assert done.usage.wall_seconds > 0
    assert report.steps[0].at <= report.steps[1].at <= report.steps[2].at


ENDS = (
    (("sh", "-c", "exit 3"), Reason.EXITED, 3, "exited with 3"),
    (("sh", "-c", "exit 137"), Reason.EXITED, 137, "exited with 137"),
    (("sh", "-c", "kill -9 $$"), Reason.SIGNALED, 137, "ended by SIGKILL"),
    (("sh", "-c", "kill -TERM $$"), Reason.SIGNALED, 143, "ended by SIGTERM"),
    (("no-such-program",), Reason.EXITED, 127, "no-such-program: not found"),
    (("/etc/passwd",), Reason.EXITED, 126, "/etc/passwd: cannot be executed"),
    (("exit", "0"), Reason.EXITED, 127, "exit: not found"),
)


async def test_the_end_is_told_as_it_was(nats: NatsSettings, desk: Desk, s3: S3, tmp_path: Path) -> None:
    async with run_storage(desk.connection, s3) as storage, running(nats, tmp_path / "runs"):
        for argv, reason, code, message in ENDS:
            done = await desk.run(task := a_task(*argv))
            assert (done.reason, done.exit_code, done.message) == (reason, code, message)
            if code in {126, 127}:
                said = f"shunter: {message}\n".encode()
                assert (await desk.log(task, "stderr"))[0] == said
                assert storage.read("logs/1/stderr") == said


@pytest.mark.parametrize("shebang", ["", "#!/usr/bin/env python\n"], ids=["sh", "python"])
async def test_a_script_runs_in_its_working_folder(
    nats: NatsSettings, desk: Desk, tmp_path: Path, shebang: str
) -> None:
    script = shebang + ("import os; open('seen','w').write(os.getcwd())" if shebang else "pwd > seen")
    task = a_task(script=script)
    async with running(nats, tmp_path / "runs"):
        assert (await desk.run(task)).exit_code == 0
    work = tmp_path / "runs" / f"{task.workload_id}.1" / "work"
    assert [path.name for path in work.iterdir()] == ["seen"]
    assert (work / "seen").read_text().strip() == str(work)
    assert work.parent.stat().st_mode & 0o777 == 0o700


async def test_the_environment_holds_no_secret_and_what_was_asked_for(
    nats: NatsSettings, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHUNTER_NATS__PASSWORD", "secret")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    own = {"COLOUR": "red", "status": "well", "code": "of conduct"}
    task = a_task("sh", "-c", "env > env", env={**own, "PATH": "/usr/bin:/bin"}, traceparent="00-a-b-01")
    async with running(nats, tmp_path / "runs"):
        await desk.run(task)
    lines = (tmp_path / "runs" / f"{task.workload_id}.1" / "work" / "env").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert "secret" not in seen.values()
    assert {name: seen[name] for name in own} == own
    assert (seen["SHUNTER_JOB_ID"], seen["SHUNTER_ATTEMPT"]) == (task.workload_id, "1")
    assert (seen["SHUNTER_BACKEND"], seen["TRACEPARENT"]) == ("local", "00-a-b-01")
    assert {name for name in seen if name.startswith("SHUNTER_")} <= {
        *("SHUNTER_JOB_ID", "SHUNTER_ATTEMPT", "SHUNTER_BACKEND", "SHUNTER_RUN")
    }
    assert Path(seen["TMPDIR"]).parent.name == f"{task.workload_id}.1"
    assert "CUDA_VISIBLE_DEVICES" not in seen


async def test_a_task_that_comes_twice_runs_once(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = a_task("sh", "-c", f"echo . >> {tmp_path}/times")
    async with running(nats, tmp_path / "runs"):
        await desk.run(task)
        await desk.give(task)
        await desk.run(a_task("true"))
    assert (tmp_path / "times").read_text() == ".\n"


async def _standing(desk: Desk) -> tuple[float, int, int]:
    found = (await desk.control("capacity")).capacity
    assert found
    return found.cpus_free, found.running, found.waiting


async def test_tasks_wait_for_room_in_their_order(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    note = f"echo $SHUNTER_JOB_ID >> {tmp_path}/order"
    wide = a_task("sh", "-c", f"{note}; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done", cpus=2)
    whole = a_task("sh", "-c", note, cpus=3)
    small = a_task("sh", "-c", note, cpus=1)
    async with running(nats, tmp_path / "runs", cpus=3):
        for task in (wide, whole, small):
            await desk.give(task)
        await desk.until(wide, StepName.RUNNING)
        async with asyncio.timeout(20):
            while await _standing(desk) != (1, 1, 1):  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.02)
        (tmp_path / "go").touch()
        await desk.until(small, StepName.DONE)
    assert (tmp_path / "order").read_text().split() == [task.workload_id for task in (wide, whole, small)]


async def test_what_can_never_fit_is_refused(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(a_task("true", cpus=5))
    assert done.reason is Reason.REFUSED
    assert done.message == "it needs 5 cores, the runner has 4"


async def test_gpus_are_given_out_by_index_and_metered(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    gpus = FakeGpus(Gpu(0, "NVIDIA A100-SXM4-80GB", 80), Gpu(1, "NVIDIA T4", 16), Gpu(2, "NVIDIA A100-SXM4-80GB", 80))
    script = 'echo "$CUDA_DEVICE_ORDER:$CUDA_VISIBLE_DEVICES" > gpus; sleep 0.5'
    on_a100, with_none = a_task(script=script, gpus=2, gpu_model="a100"), a_task(script=script)
    async with running(nats, tmp_path / "runs", gpus=gpus):
        began = time.monotonic()
        await desk.give(on_a100)
        await desk.give(with_none)
        done = await desk.until(on_a100, StepName.DONE)
        passed = time.monotonic() - began
        await desk.until(with_none, StepName.DONE)
    assert done.usage
    assert 0.1 < done.usage.gpu_seconds < passed
    allocation = desk.steps(on_a100)[0].allocation
    assert allocation
    assert (allocation.gpu_indices, allocation.gpu_model) == ([0, 2], "NVIDIA A100-SXM4-80GB")
    folders = tmp_path / "runs"
    assert (folders / f"{on_a100.workload_id}.1" / "work" / "gpus").read_text() == "PCI_BUS_ID:0,2\n"
    assert (folders / f"{with_none.workload_id}.1" / "work" / "gpus").read_text() == "PCI_BUS_ID:\n"


async def test_usage_is_that_of_the_whole_tree(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    burn = "import time; held = bytearray(80_000_000)\nwhile time.process_time() < 0.3: pass\ntime.sleep(0.8)"
    async with running(nats, tmp_path / "runs", sample_every=0.1):
        done = await desk.run(a_task("sh", "-c", f"python -c '{burn}' & python -c '{burn}'; wait"))
    assert done.usage
    assert 0.55 < done.usage.cpu_seconds < 1.5
    assert done.usage.memory_peak
    assert 150e6 < done.usage.memory_peak < 400e6


async def test_signs_of_life_tell_the_usage_so_far(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    async with running(nats, tmp_path / "runs", heartbeat=0.1):
        await desk.give(task := a_task("sh", "-c", "while [ ! -e go ]; do sleep 0.02; done"))
        alive = await desk.until(task, StepName.ALIVE)
        (tmp_path / "runs" / f"{task.workload_id}.1" / "work" / "go").touch()
        done = await desk.until(task, StepName.DONE)
    assert alive.usage
    assert done.usage
    assert 0 < alive.usage.wall_seconds < done.usage.wall_seconds
    numbers = [report.number for report in desk.reports]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_folders_go_when_their_time_has_come(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    async with running(nats, tmp_path / "runs", keep=0.1):
        task = a_task("sh", "-c", "mkdir -p a/b; touch a/b/c; chmod 0 a/b")
        await desk.run(task)
        folder = tmp_path / "runs" / f"{task.workload_id}.1"
        while folder.exists():
            await desk.run(a_task("true"))


async def test_health_is_told_over_http(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    async with running(nats, tmp_path / "runs") as settings, httpx.AsyncClient(trust_env=False) as client:
        await desk.run(a_task("true"))
        base = f"http://127.0.0.1:{settings.runner.health.port}"
        assert (await client.get(f"{base}/healthz")).json() == {"status": "ok"}
        ready = await client.get(f"{base}/readyz")
        assert (ready.status_code, ready.json()["checks"]) == (200, {"nats": "ok", "queue": "ok"})
        while 'shunter_runner_runs_total{reason="exited"} 1.0' not in (await client.get(f"{base}/metrics")).text:
            pass


async def test_a_runner_without_nats_is_alive_but_not_ready(tmp_path: Path) -> None:
    nowhere = NatsSettings(url="nats://127.0.0.1:1")
    async with running(nowhere, tmp_path / "runs") as settings, httpx.AsyncClient(trust_env=False) as client:
        base = f"http://127.0.0.1:{settings.runner.health.port}"
        assert (await client.get(f"{base}/healthz")).status_code == 200
        assert (await client.get(f"{base}/readyz")).status_code == 503
