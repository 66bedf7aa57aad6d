"""A real runner with bundles of tasks: side by side, told of in batches, and not lost with it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.runs import ControlRun, RunBundle, RunTask, StepName
from contracts.spec import Input, Output
from contracts.states import Reason
from contracts.subjects import control_subject
from contracts.tasks import TaskFact, TaskState
from services.chassis.settings import NatsSettings
from services.scheduler.runner.census import Census
from tests.support.run_storage import RunStorage, run_storage
from tests.support.runners import Desk, a_task, open_desk, runner_process, running
from tests.support.servers import S3

S = TaskState


@pytest_asyncio.fixture
async def desk(nats: NatsSettings) -> AsyncIterator[Desk]:
    async with open_desk(nats) as desk:
        yield desk


@pytest_asyncio.fixture
async def storage(desk: Desk, s3: S3) -> AsyncIterator[RunStorage]:
    async with run_storage(desk.connection, s3) as storage:
        yield storage


@pytest.fixture
def no_leftovers() -> Iterator[list[RunTask]]:
    tasks: list[RunTask] = []
    yield tasks
    for pid in [pid for task in tasks for pid in _living(task)]:
        os.kill(pid, signal.SIGKILL)


def _bundle(*argv: str, indices: str, changes: dict[str, Any] | None = None, **bundle: Any) -> RunTask:
    return a_task(*argv, bundle=RunBundle(indices=indices, **bundle), **{"cpus": 0.5, **(changes or {})})


def _facts(desk: Desk, task: RunTask) -> list[TaskFact]:
    return [fact for step in desk.steps(task) for fact in step.tasks]


def _ends(desk: Desk, task: RunTask) -> dict[int, TaskFact]:
    return {fact.index: fact for fact in _facts(desk, task) if fact.state is not S.RUNNING}


async def _until(desk: Desk, task: RunTask, condition: Any) -> None:
    while not condition(_facts(desk, task)):
        await desk.next_report()


def _living(task: RunTask) -> list[int]:
    mark = f"{task.workload_id}.{task.attempt}/"
    census = Census()
    census.members("")
    return [proc.pid for proc in census._table.values() if (census._mark(proc) or "").startswith(mark)]


async def test_each_task_has_its_own_words_folder_and_exit_code(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    say = 'echo "$1 $2 $W $SHUNTER_ARRAY_INDEX $SHUNTER_ARRAY_ITEM"; ls; touch mine; exit "$SHUNTER_ARRAY_INDEX"'
    task = _bundle(
        *("sh", "-c", say, "sh", "{index}", "{item}"),
        indices="0,2-3",
        items=["a", "b c", "{index}"],
        attempts={3: 4},
        changes={"env": {"W": "<{item}>"}},
    )
    async with running(nats, tmp_path / "runs"):
        done = await desk.run(task)
    ends = _ends(desk, task)
    assert {index: (fact.state, fact.exit_code, fact.attempt) for index, fact in ends.items()} == {
        0: (S.SUCCEEDED, 0, 1),
        2: (S.FAILED, 2, 1),
        3: (S.FAILED, 3, 4),
    }
    assert done.reason is Reason.EXITED
    pack = storage.read("logs/1/pack")
    said = {index: pack[log.offset : log.offset + log.size] for index, fact in ends.items() for log in fact.logs}
    assert said == {0: b"0 a <a> 0 a\n", 2: b"2 b c <b c> 2 b c\n", 3: b"3 {index} <{index}> 3 {index}\n"}
    assert (await desk.log(task, "pack"))[0] == pack
    assert all(fact.usage and fact.usage.wall_seconds > 0 for fact in ends.values())


async def test_inputs_and_outputs_of_tasks_are_their_own(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    shared, own = storage.add("all.txt", b"all"), {n: storage.add(f"in/{n}.txt", b"own %d" % n) for n in (0, 1)}
    task = _bundle(
        *("sh", "-c", "cat all.txt here-$SHUNTER_ARRAY_INDEX > out-$SHUNTER_ARRAY_INDEX; echo x >> all.txt"),
        indices="0-1",
        inputs={f"in/{n}.txt": frozen for n, frozen in own.items()},
        sources=[Input(source="in/{index}.txt", path="here-{index}")],
        changes={"inputs": [shared], "outputs": [Output(path="out-{index}")]},
    )
    async with running(nats, tmp_path / "runs"):
        await desk.run(task)
    ends = _ends(desk, task)
    assert {index: [file.path for file in fact.outputs] for index, fact in ends.items()} == {
        0: ["outputs/out-0"],
        1: ["outputs/out-1"],
    }
    assert [storage.read(f"outputs/out-{n}") for n in (0, 1)] == [b"allown 0", b"allown 1"]


async def test_no_more_run_at_once_than_wished_and_other_work_comes_between(
    nats: NatsSettings, desk: Desk, tmp_path: Path
) -> None:
    lock = f"mkdir {tmp_path}/one && sleep 0.02 && rmdir {tmp_path}/one"
    task = _bundle("sh", "-c", lock, indices="0-29", max_running=1)
    single = a_task("true")
    async with running(nats, tmp_path / "runs", cpus=1):
        await desk.give(task)
        await desk.until(task, StepName.RUNNING)
        await desk.run(single)
        assert not any(step.step is StepName.DONE for step in desk.steps(task))
        await desk.until(task, StepName.DONE)
    assert {fact.state for fact in _ends(desk, task).values()} == {S.SUCCEEDED}
    assert len(_ends(desk, task)) == 30


async def test_some_tasks_are_ended_and_the_others_go_on(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = _bundle("sh", "-c", f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done", indices="0-7")
    async with running(nats, tmp_path / "runs", cpus=1):
        await desk.give(task)
        await _until(desk, task, lambda facts: {fact.index for fact in facts} >= {0, 1})
        wish = ControlRun(action="cancel", workload_id=task.workload_id, attempt=1, tasks="1,5-6")
        await desk.connection.request(control_subject("local"), wish.model_dump_json().encode(), timeout=5)
        await _until(desk, task, lambda facts: sum(fact.state is S.CANCELED for fact in facts) == 3)
        (tmp_path / "go").touch()
        await desk.until(task, StepName.DONE)
    ends = _ends(desk, task)
    assert {index for index, fact in ends.items() if fact.state is S.CANCELED} == {1, 5, 6}
    assert {index for index, fact in ends.items() if fact.state is S.SUCCEEDED} == {0, 2, 3, 4, 7}
    assert ends[1].usage
    assert ends[5].usage is None


async def test_a_whole_bundle_is_ended_and_leaves_no_process(nats: NatsSettings, desk: Desk, tmp_path: Path) -> None:
    task = _bundle("sh", "-c", "sleep 300 & wait", indices="0-99")
    async with running(nats, tmp_path / "runs", cpus=1):
        await desk.give(task)
        await _until(desk, task, lambda facts: {fact.index for fact in facts} >= {0, 1})
        await desk.control("cancel", task)
        done = await desk.until(task, StepName.DONE)
    assert done.reason is Reason.CANCELED
    assert {fact.state for fact in _ends(desk, task).values()} == {S.CANCELED}
    assert len(_ends(desk, task)) == 2
    assert not _living(task)


async def test_a_task_that_runs_too_long_or_cannot_be_started_fails_alone(
    nats: NatsSettings, desk: Desk, storage: RunStorage, tmp_path: Path
) -> None:
    task = _bundle(
        "{item}", "300", indices="0-2", items=["sleep", "true", "no-such-program"], changes={"walltime": 2.0}
    )
    async with running(nats, tmp_path / "runs"):
        await desk.run(task)
    ends = _ends(desk, task)
    assert (ends[0].state, ends[0].reason) == (S.FAILED, Reason.WALLTIME)
    assert ends[1].state is S.SUCCEEDED
    assert (ends[2].state, ends[2].exit_code) == (S.FAILED, 127)
    assert b"not found" in storage.read("logs/1/pack")


async def test_a_new_runner_goes_on_where_a_killed_one_stopped(
    nats: NatsSettings, desk: Desk, tmp_path: Path, no_leftovers: list[RunTask]
) -> None:
    mark = 'echo >> "$0/$SHUNTER_ARRAY_INDEX"; while [ "$SHUNTER_ARRAY_INDEX" -gt 2 ] && [ ! -e "$0/go" ]; do '
    task = _bundle("sh", "-c", mark + "sleep 0.02; done; exit $SHUNTER_ARRAY_INDEX", str(tmp_path), indices="0-7")
    no_leftovers.append(task)
    with runner_process(nats, tmp_path / "runs", SHUNTER_RUNNER__CPUS="1") as start:
        first = start()
        await desk.give(task)
        await _until(desk, task, lambda facts: {fact.index for fact in facts if fact.state is S.RUNNING} >= {3, 4})
        first.send_signal(signal.SIGKILL)
        first.wait()
        told = set(_ends(desk, task))
        assert told >= {0, 1, 2}
        assert _living(task)
        start()
        await asyncio.sleep(0)
        (tmp_path / "go").touch()
        await desk.until(task, StepName.DONE)
    assert {index: fact.exit_code for index, fact in _ends(desk, task).items()} == {n: n for n in range(8)}
    # None of them was begun twice, and none was told to have ended twice.
    assert [(tmp_path / str(n)).read_text().count("\n") for n in range(8)] == [1] * 8
    ended = [fact.index for fact in _facts(desk, task) if fact.state is not S.RUNNING]
    assert len(set(ended)) == len(ended)


async def test_a_runner_that_is_stopped_says_what_it_did_not_finish(
    nats: NatsSettings, desk: Desk, tmp_path: Path
) -> None:
    task = _bundle("sh", "-c", "[ {index} -lt 1 ] || sleep 300", indices="0-9")
    async with running(nats, tmp_path / "runs", cpus=1, drain=3.0):
        await desk.give(task)
        await _until(desk, task, lambda facts: {fact.index for fact in facts if fact.state is S.RUNNING} >= {1, 2})
    done = await desk.until(task, StepName.DONE)
    assert done.reason is Reason.INTERRUPTED
    states = [fact.state for fact in _ends(desk, task).values()]
    assert (states.count(S.SUCCEEDED), states.count(S.LOST)) == (1, 2)
    assert not _living(task)
