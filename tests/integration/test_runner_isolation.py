"""What an isolated run cannot do to others: with the real bubblewrap, and the control groups of this host."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.runs import RunBundle, RunTask, StepName
from contracts.states import Reason
from contracts.tasks import TaskState
from services.chassis.settings import NatsSettings
from services.scheduler.runner.census import Census
from services.scheduler.runner.isolation.isolation import Isolation
from services.scheduler.runner.settings import RunnerSection
from tests.support.run_storage import RunStorage, run_storage
from tests.support.runners import Desk, a_task, open_desk, runner_process, running
from tests.support.servers import S3


@pytest_asyncio.fixture
async def desk(nats: NatsSettings) -> AsyncIterator[Desk]:
    async with open_desk(nats) as desk:
        yield desk


@pytest_asyncio.fixture(autouse=True)
async def storage(desk: Desk, s3: S3) -> AsyncIterator[RunStorage]:
    """Take home what runs say."""
    async with run_storage(desk.connection, s3) as storage:
        yield storage


@pytest.fixture
def node() -> Iterator[Path]:
    """Give a folder that runs could see, were it not hidden: not one below `/tmp`, which each has for itself."""
    folder = Path(tempfile.mkdtemp(prefix="shunter-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def strict() -> dict[str, Any]:
    """Give the settings, if this host can keep all that they promise."""
    if refusal := Isolation(RunnerSection(isolation="strict")).refusal:
        pytest.skip(refusal)
    return {"isolation": "strict"}


def _groups(task: RunTask) -> list[Path]:
    name = f"shunter-{task.workload_id}.1*"
    return [path for base in Path("/sys/fs/cgroup").glob("*") for path in base.rglob(name)]


SEES = """
cat "$SECRET"; ls "$RUNS"; [ -e "$SCRIPT" ] && echo script
for place in / /usr /etc "$HERE" "$RUNS" /run /dev; do (: >"$place/x") 2>/dev/null && echo "writes to $place"; done
for place in . /tmp "$TMPDIR" /dev/shm; do : >"$place/x" && echo ok; done
grep -E 'NoNewPrivs|CapEff' /proc/self/status; echo $$; kill -0 "$RUNNER" && echo "reaches the runner"
python -c 'print("python")'
"""


async def test_a_run_sees_nothing_of_others_and_writes_nowhere_else(
    nats: NatsSettings, desk: Desk, node: Path, strict: dict[str, Any]
) -> None:
    data, runs = node / "data", node / "runs"
    data.mkdir()
    (data / "secret").write_text("it is told")
    (runs / "job-other.1" / "work").mkdir(parents=True)
    env = {"SECRET": str(data / "secret"), "RUNS": str(runs), "HERE": str(node), "RUNNER": str(os.getpid())}
    task = a_task(script=SEES, env=env)
    async with running(nats, runs, hide=[data], **strict):
        done = await desk.run(task)
        said = (await desk.log(task, "stdout"))[0].decode()
    assert (done.reason, done.exit_code) == (Reason.EXITED, 0)
    lines = said.split()
    assert "told" not in said
    assert "writes" not in said
    assert "reaches" not in said
    assert [line for line in lines if line.startswith("job-")] == [f"{task.workload_id}.1"]
    assert lines.count("ok") == 4
    assert lines[lines.index("NoNewPrivs:") + 1] == "1"
    assert set(lines[lines.index("CapEff:") + 1]) == {"0"}  # and nothing that is started gains any
    assert int(lines[-2]) < 10  # in a namespace of its own
    assert lines[-1] == "python"


async def test_a_network_of_its_own_is_a_loopback(
    nats: NatsSettings, desk: Desk, tmp_path: Path, strict: dict[str, Any]
) -> None:
    task = a_task("cat", "/proc/net/dev")
    async with running(nats, tmp_path / "runs", network="own", **strict):
        await desk.run(task)
        said, _ = await desk.log(task, "stdout")
    assert [line.split(b":")[0].strip() for line in said.splitlines()[2:]] == [b"lo"]


async def test_the_kernel_ends_what_holds_too_much_memory(
    nats: NatsSettings, desk: Desk, tmp_path: Path, strict: dict[str, Any]
) -> None:
    # Many small ones: none is too large by itself, and nobody looks after the first moments.
    hold = "import time; time.sleep(1); held = bytearray(60_000_000); time.sleep(60)"
    script = f"for n in 1 2 3 4; do python -c '{hold}' & done; wait -n"
    task = a_task("bash", "-c", f"{script}; exit 3", memory=150_000_000)
    async with running(nats, tmp_path / "runs", sample_every=60.0, **strict):
        done = await desk.run(task)
    assert done.reason is Reason.MEMORY
    assert done.message == "the kernel ended a process of it: it wanted more memory, 150000000 were asked for"
    assert not _groups(task)


async def test_a_run_has_only_so_many_processes(
    nats: NatsSettings, desk: Desk, tmp_path: Path, strict: dict[str, Any]
) -> None:
    task = a_task("bash", "-c", "for n in {1..60}; do sleep 300 & done; wait")
    async with running(nats, tmp_path / "runs", processes=30, grace=0.1, **strict):
        await desk.give(task)
        await desk.until(task, StepName.RUNNING)
        done = await desk.until(task, StepName.DONE) if await _settles(task) else None
        assert done is None, "it ended by itself"
        assert len(Census().members(f"{task.workload_id}.1")) <= 32  # with the wrapper, which is outside
        await desk.control("cancel", task)
        await desk.until(task, StepName.DONE)
    assert not Census().members(f"{task.workload_id}.1")


async def test_an_isolated_program_may_end_well_and_tells_its_signal(
    nats: NatsSettings, desk: Desk, tmp_path: Path, strict: dict[str, Any]
) -> None:
    well = a_task(script="trap 'echo saved; exit 7' TERM; touch ready; while :; do sleep 0.05; done")
    async with running(nats, tmp_path / "runs", grace=20.0, **strict):
        crash = await desk.run(a_task("sh", "-c", "kill -SEGV $$"))
        await desk.give(well)
        while not (tmp_path / "runs" / f"{well.workload_id}.1" / "work" / "ready").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await desk.control("cancel", well)
        done = await desk.until(well, StepName.DONE)
        said, _ = await desk.log(well, "stdout")
    assert (crash.reason, crash.exit_code) == (Reason.SIGNALED, 128 + signal.SIGSEGV)
    assert (done.reason, done.exit_code, said) == (Reason.CANCELED, 7, b"saved\n")


async def test_an_application_finds_its_folder_in_its_box(
    nats: NatsSettings, desk: Desk, tmp_path: Path, strict: dict[str, Any]
) -> None:
    task = a_task("sh", "-c", "pwd; touch /files/x; ls", files="/files")
    async with running(nats, tmp_path / "runs", **strict):
        await desk.run(task)
        said, _ = await desk.log(task, "stdout")
    assert said == b"/files\nx\n"


async def test_each_task_of_an_array_is_isolated(
    nats: NatsSettings, desk: Desk, node: Path, strict: dict[str, Any]
) -> None:
    task = a_task(script=f"ls {node}/runs/*/tasks | wc -l | grep -x 1", bundle=RunBundle(indices="0-3"))
    async with running(nats, node / "runs", cpus=2, **strict):
        await desk.run(task)
    facts = [fact for step in desk.steps(task) for fact in step.tasks]
    assert {fact.index for fact in facts if fact.state is TaskState.SUCCEEDED} == {0, 1, 2, 3}
    assert not _groups(task)


async def test_a_new_runner_adopts_what_is_isolated(
    nats: NatsSettings, desk: Desk, tmp_path: Path, strict: dict[str, Any]
) -> None:
    task = a_task(script="touch ready; while [ ! -e go ]; do sleep 0.05; done; echo well; exit 5")
    work = tmp_path / "runs" / f"{task.workload_id}.1" / "work"
    variables = {f"SHUNTER_RUNNER__{name.upper()}": value for name, value in strict.items()}
    with runner_process(nats, tmp_path / "runs", **variables) as start:
        first = start()
        await desk.give(task)
        while not (work / "ready").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        first.wait()
        start()
        (work / "go").touch()
        done = await desk.until(task, StepName.DONE)
        said, _ = await desk.log(task, "stdout")
    assert (done.reason, done.exit_code, said) == (Reason.EXITED, 5, b"well\n")
    assert not _groups(task)


@pytest.mark.parametrize("isolation", ["auto", "strict"])
async def test_what_cannot_be_promised_is_said_or_refused(
    nats: NatsSettings, desk: Desk, tmp_path: Path, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no bwrap
    task = a_task("/bin/true")
    async with running(nats, tmp_path / "runs", isolation=isolation):
        done = await desk.run(task)
    told = [step.message for step in desk.steps(task) if step.step is StepName.RUNNING]
    if isolation == "strict":
        assert (done.reason, told) == (Reason.REFUSED, [])
        assert "bubblewrap (bwrap) is not installed" in done.message
    else:
        assert done.exit_code == 0
        assert "bubblewrap (bwrap) is not installed" in told[0]


async def _settles(task: RunTask) -> bool:
    """Wait until a run has as many processes as it gets; say whether it ended."""
    before = -1
    while (now := len(Census().members(f"{task.workload_id}.1"))) != before or now < 20:
        if before > 0 and now == 0:
            return True
        before = now
        await asyncio.sleep(0.2)
    return False
