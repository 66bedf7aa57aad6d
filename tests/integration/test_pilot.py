"""The pilot, started as a cluster starts it, on the oldest Python that it must run on: one attempt after the other."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.pilots import PilotTerms
from contracts.runs import RunTask, Step, StepName
from contracts.spec import Output
from contracts.states import Reason
from services.chassis.settings import NatsSettings
from tests.support.pilots import Cluster, Work, old_python, open_work, pilots
from tests.support.run_storage import RunStorage, run_storage
from tests.support.runners import a_task
from tests.support.servers import S3

pytestmark = pytest.mark.own_stores("its NATS lets in whoever comes")


@pytest_asyncio.fixture
async def work(nats: NatsSettings) -> AsyncIterator[Work]:
    async with open_work(nats) as found:
        yield found


@pytest_asyncio.fixture
async def storage(work: Work, s3: S3) -> AsyncIterator[RunStorage]:
    async with run_storage(work.connection, s3) as found:
        yield found


@pytest.fixture
def cluster(nats: NatsSettings, tmp_path: Path) -> Iterator[Cluster]:
    with pilots(tmp_path, nats.url, old_python()) as found:
        yield found


async def _run(work: Work, cluster: Cluster, task: RunTask, **env: str) -> Step:
    work.tasks.append(task)
    process = cluster.start(**env)
    done = await work.desk.until(task, StepName.DONE)
    assert await cluster.ended(process) == 0, cluster.said
    assert list((cluster.folder / "work").iterdir()) == []
    return done


async def test_a_task_is_run_and_told(work: Work, cluster: Cluster) -> None:
    task = a_task("sh", "-c", "exit 3", cpus=2.0)
    done = await _run(work, cluster, task)
    steps = work.desk.steps(task)
    assert [step.step for step in steps] == [StepName.RUNNING, StepName.EXITED, StepName.DONE]
    assert (done.reason, done.exit_code, done.message) == (Reason.EXITED, 3, "exited with 3")
    held, used = steps[0].allocation, steps[1].usage
    assert held
    assert (held.backend, held.cpus) == ("hpc", 2.0)
    assert used
    assert used.wall_seconds > 0


async def test_inputs_outputs_and_logs_travel(work: Work, cluster: Cluster, storage: RunStorage) -> None:
    content = b"0123456789" * 700_000
    script = (
        "cat in/data >out/copy; printf 'half'; sleep 0.3; echo ' line'; echo bad >&2; head -c 6000000 /dev/zero >big"
    )
    task = a_task(
        script=f"mkdir out; {script}",
        inputs=[storage.add("in/data", content), storage.add("in/small", b"small")],
        outputs=[Output(path="out"), Output(path="big")],
    )
    done = await _run(work, cluster, task)
    assert (done.reason, done.exit_code) == (Reason.EXITED, 0), done.message
    assert storage.read("outputs/out/copy") == content
    assert storage.read("outputs/big") == bytes(6_000_000)
    assert storage.read("logs/1/stdout") == b"half line\n"
    assert {item.path for item in done.logs} == {"logs/1/stdout", "logs/1/stderr"}
    assert await work.desk.log(task, "stdout") == (b"half line\n", True)
    assert await work.desk.log(task, "stderr") == (b"bad\n", True)


async def test_a_changed_input_and_a_missing_output_are_told(work: Work, cluster: Cluster, storage: RunStorage) -> None:
    task = a_task("true", inputs=[storage.add("data", b"new", sha256="0" * 64)])
    other = a_task("true", outputs=[Output(path="nothing")])
    work.tasks += [task, other]
    process = cluster.start()
    staging = await work.desk.until(task, StepName.DONE)
    assert staging.reason is Reason.STAGING
    assert "checksum" in staging.message
    missing = await work.desk.until(other, StepName.DONE)
    assert (missing.reason, missing.message) == (Reason.STAGING, "required outputs are missing: nothing")
    assert await cluster.ended(process) == 0


@pytest.mark.usefixtures("storage")
async def test_what_ends_a_run_is_told(work: Work, cluster: Cluster) -> None:
    hungry = "import time; held = bytearray(200_000_000); time.sleep(30)"
    ends = {
        Reason.WALLTIME: a_task("sleep", "30", walltime=0.5),
        Reason.MEMORY: a_task(cluster.python, "-c", hungry, memory=100_000_000),
        Reason.SIGNALED: a_task("sh", "-c", "kill -9 $$"),
        Reason.EXITED: a_task("no-such-program"),
    }
    work.tasks += ends.values()
    work.terms = work.terms.model_copy(update={"slots": 4})
    process = cluster.start()
    for reason, task in ends.items():
        assert (await work.desk.until(task, StepName.DONE)).reason is reason
    assert await cluster.ended(process) == 0
    assert work.desk.steps(ends[Reason.EXITED])[-1].exit_code == 127
    used = work.desk.steps(ends[Reason.MEMORY])[-1].usage
    assert used
    assert (used.memory_peak or 0) > 100_000_000


async def test_several_run_side_by_side_and_one_is_ended(work: Work, cluster: Cluster, tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    script = f"touch {meeting}/$SHUNTER_JOB_ID; while [ $(ls {meeting} | wc -l) -lt 2 ]; do sleep 0.05; done"
    long = a_task("sleep", "60")
    pair = [a_task("sh", "-c", script) for _ in range(2)]
    work.tasks += [long, *pair]
    work.terms = work.terms.model_copy(update={"slots": 3})
    process = cluster.start()
    for task in pair:
        assert (await work.desk.until(task, StepName.DONE)).exit_code == 0
    assert (await work.tell(long, reason=Reason.CANCELED)).known
    assert (await work.desk.until(long, StepName.DONE)).reason is Reason.CANCELED
    assert await cluster.ended(process) == 0


async def test_its_environment_holds_nothing_secret(work: Work, cluster: Cluster, tmp_path: Path) -> None:
    place = tmp_path / "env"
    script = f"env >{place}; cat /proc/$PPID/environ >{place}.above 2>/dev/null; ps -eo args >{place}.seen"
    work.terms = work.terms.model_copy(update={"mpirun": "srun -n"})
    task = a_task("sh", "-c", script, env={"MINE": "1"}, nodes=2, processes=4)
    await _run(work, cluster, task, CUDA_VISIBLE_DEVICES="1,3", SHUNTER_PILOT_TOKEN="a-secret-token")
    told = dict(line.split("=", 1) for line in place.read_text().splitlines() if "=" in line)
    assert {told["MINE"], told["SHUNTER_NODES"], told["SHUNTER_PROCESSES"], told["mpirun"]} == {
        "1",
        "2",
        "4",
        "srun -n",
    }
    assert told["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert not [name for name in told if name.startswith("SHUNTER_PILOT") or name == "SHUNTER_NATS_URL"]
    assert "a-secret-token" not in place.with_suffix(".above").read_text() + place.with_suffix(".seen").read_text()


async def test_the_tasks_of_a_bundle_run_in_its_slots(work: Work, cluster: Cluster, storage: RunStorage) -> None:
    bundle = {"indices": "0-4,7", "attempts": {3: 2}, "items": list("abcdef")}
    script = 'echo "$SHUNTER_ARRAY_INDEX $1 $(cat shared)" | tee out-$SHUNTER_ARRAY_INDEX; [ $1 != c ]'
    task = a_task(
        *("sh", "-c", script, "sh", "{item}"),
        bundle=bundle,
        inputs=[storage.add("shared", b"text")],
        outputs=[Output(path="out-{index}")],
    )
    work.terms = work.terms.model_copy(update={"slots": 2})
    done = await _run(work, cluster, task)
    facts = {fact.index: fact for step in work.desk.steps(task) for fact in step.tasks if fact.state != "running"}
    assert {index: fact.state for index, fact in facts.items()} == {
        index: "failed" if index == 2 else "succeeded" for index in (0, 1, 2, 3, 4, 7)
    }
    assert (facts[3].attempt, facts[2].exit_code, done.reason) == (2, 1, Reason.EXITED)
    assert storage.read("outputs/out-7") == b"7 f text\n"
    pack = storage.read("logs/1/pack")
    (log,) = facts[4].logs
    assert pack[log.offset : log.offset + log.size] == b"4 e text\n"


async def test_tasks_of_a_bundle_are_canceled(work: Work, cluster: Cluster, storage: RunStorage) -> None:
    task = a_task("sleep", "60", bundle={"indices": "0-3"})
    work.tasks.append(task)
    process = cluster.start()
    await work.desk.until(task, StepName.RUNNING)
    await work.tell(task, tasks="1-2")
    await work.tell(task, reason=Reason.CANCELED)
    done = await work.desk.until(task, StepName.DONE)
    states = {fact.index: fact.state for step in work.desk.steps(task) for fact in step.tasks}
    assert (done.reason, states[1], states[2], states[0]) == (Reason.CANCELED, "canceled", "canceled", "canceled")
    assert 3 not in states
    assert await cluster.ended(process) == 0
    assert storage.stored == {}


async def test_a_program_finds_its_files_where_it_expects_them(work: Work, cluster: Cluster, tmp_path: Path) -> None:
    found = tmp_path / "found"
    for number, files in enumerate(("auto", "replace")):
        task = a_task("sh", "-c", f"echo /files/x; pwd; : >/files/here; ls $SHUNTER_FILES >{found}", files="/files")
        work.tasks[:] = [task]
        work.asked.clear()
        work.terms = PilotTerms.model_validate({**work.terms.model_dump(), "files": files})
        process = cluster.start()
        await work.desk.until(task, StepName.EXITED)
        assert found.read_text() == "here\n", number
        process.send_signal(signal.SIGTERM)  # nobody keeps its logs
        await asyncio.to_thread(process.wait, 20)
        found.unlink()
