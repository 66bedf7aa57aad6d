"""A program may end by itself in the moment in which it is to be ended: what is said of both ends agrees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contracts.model import now
from contracts.runs import RunTask
from contracts.states import Reason
from contracts.workloads import Allocation, Usage
from services.scheduler.pilot.census import Member
from services.scheduler.pilot.killing import end_tree
from services.scheduler.pilot.process import Exit
from services.scheduler.runner import attempt as attempts
from services.scheduler.runner import finishing as finishings
from services.scheduler.runner.attempt import Attempt
from services.scheduler.runner.bundle_task import BundleTask
from services.scheduler.runner.census import Census
from services.scheduler.runner.finishing import Finishing
from services.scheduler.runner.gpus import NoGpus
from services.scheduler.runner.isolation.isolation import Isolation
from services.scheduler.runner.journal import Journal, RunFolder, Start, Verdict
from services.scheduler.runner.process import Child, spawn
from services.scheduler.runner.settings import RunnerSection
from services.scheduler.runner.system import boot_id
from services.scheduler.runner.views import Views
from tests.support.late_programs import CATCHES, ENDS, Said, let_end, make_doors, until_up
from tests.support.runners import a_task

_ROOM = Allocation(backend="local")
_ENDED_FOR_IT = [Reason.INTERRUPTED, Reason.INTERRUPTED]
_ENDED_BY_ITSELF = [None, Reason.EXITED]
"""What `exited` and `done` say of it."""


class _Late(Census):
    """Something happens while it looks: before it has seen anybody, or after."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None

    def members(self, run: str, *, max_age: float = 0.0, wide: bool = False) -> list[Member]:
        before, self.before = self.before, None
        if before:
            before()
        found = super().members(run, max_age=max_age, wide=wide)
        after, self.after = self.after, None
        if after:
            after()
        return found


class _Run:
    """One attempt at a script, its runner's means, and what is said of it."""

    def __init__(self, folder: Path, script: str) -> None:
        self.task = a_task(script=script)
        self.folder = _folder(folder, self.task)
        self.said, self.census = Said(), _Late()
        self.means = _means(folder, self.said, self.census)
        self.attempt = Attempt(task=self.task, folder=self.folder, means=self.means, release=lambda _: None)

    async def begin(self) -> asyncio.Task[None]:
        """Return when its program runs."""
        living = asyncio.create_task(self.attempt.live(_ROOM))
        await until_up(self.folder.work)
        return living

    def let_end(self) -> None:
        """Let the program end by itself."""
        known = self.folder.read_process()
        assert known
        let_end(self.folder.work, known.pid)


async def _never(**_: object) -> None:
    """Look at nothing."""


def _folder(root: Path, task: RunTask) -> RunFolder:
    folder = Journal(root).folder(task.workload_id, 1)
    folder.take(task)
    make_doors(folder.work)
    return folder


def _means(folder: Path, said: Said, census: Census) -> Any:
    section = RunnerSection(work=folder, hold=0)
    parts: dict[str, Any] = {"views": Views("replace"), "isolation": Isolation(section), "containers": None}
    return cast(Any, SimpleNamespace(link=said, carrier=None, census=census, gpus=NoGpus(), section=section, **parts))


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("reason", [Reason.INTERRUPTED, Reason.WALLTIME, Reason.MEMORY])
async def test_a_program_that_was_faster_has_ended_by_itself(
    tmp_path: Path, reason: Reason, moment: str, code: int
) -> None:
    run = _Run(tmp_path, ENDS.format(code=code))
    living = await run.begin()
    setattr(run.census, moment, run.let_end)
    run.attempt.end(reason, "too late")
    await living
    assert (run.said.exited.exit_code, run.said.exited.reason) == (code, None)
    assert (run.said.done.exit_code, run.said.done.reason) == (code, Reason.EXITED)
    assert run.folder.read_verdict() is None


async def test_a_cancel_counts_although_the_program_was_faster_and_nothing_else_is_said_before(tmp_path: Path) -> None:
    run = _Run(tmp_path, ENDS.format(code=0))
    living = await run.begin()
    run.census.after = run.let_end
    run.attempt.end(Reason.CANCELED, "canceled on request")
    await living
    assert [(step.exit_code, step.reason) for step in (run.said.exited, run.said.done)] == [(0, Reason.CANCELED)] * 2


@pytest.mark.parametrize("reason", [Reason.INTERRUPTED, Reason.WALLTIME])
async def test_a_program_that_ends_well_because_it_was_asked_to_was_ended(tmp_path: Path, reason: Reason) -> None:
    run = _Run(tmp_path, CATCHES)
    living = await run.begin()
    run.attempt.end(reason, "it is time")
    await living
    assert [(step.exit_code, step.reason) for step in (run.said.exited, run.said.done)] == [(0, reason)] * 2


@pytest.mark.parametrize(
    ("asked", "wrote", "ends"),
    [
        ({}, "0\n", _ENDED_FOR_IT),
        ({}, "0\ntold 1\n", _ENDED_FOR_IT),
        ({}, "0\ntold 0\n", _ENDED_BY_ITSELF),
        ({"asked": False}, "0\n", _ENDED_BY_ITSELF),
    ],
    ids=["a wrapper of old", "told", "not told", "only decided"],
)
async def test_what_an_earlier_runner_may_have_asked_for_stays_so_and_what_it_only_decided_does_not(
    tmp_path: Path, asked: dict[str, Any], wrote: str, ends: list[Reason | None]
) -> None:
    run = _Run(tmp_path, ENDS.format(code=0))
    run.folder.write_verdict(Verdict(reason=Reason.INTERRUPTED, message="the runner was stopped", **asked))
    run.folder.exit.write_text(wrote)
    run.folder.write_start(Start(boot="another", started_at=now(), allocation=_ROOM))
    assert run.attempt.recover() == _ROOM
    await run.attempt.live(_ROOM, resume=True)
    steps = (run.said.exited, run.said.done)
    assert [(step.exit_code, step.reason) for step in steps] == [(0, reason) for reason in ends]


@pytest.mark.parametrize(
    ("script", "tells", "ends"),
    [(ENDS.format(code=0), False, _ENDED_BY_ITSELF), (CATCHES, True, _ENDED_FOR_IT)],
    ids=["killed before", "killed after"],
)
async def test_a_runner_that_is_killed_when_it_asks_a_program_to_end_leaves_behind_whether_it_did(
    tmp_path: Path, script: str, tells: bool, ends: list[Reason | None]
) -> None:
    run = _Run(tmp_path, script)
    run.folder.write_start(Start(boot=boot_id(), started_at=now(), allocation=_ROOM))
    child = spawn(run.folder, ["/bin/sh", "-c", script], {"SHUNTER_RUN": run.folder.name})
    await until_up(run.folder.work)
    run.folder.write_verdict(Verdict(reason=Reason.INTERRUPTED, message="the runner was stopped"))
    if tells:
        await end_tree(run.census, run.folder.name, 60.0)
    else:
        let_end(run.folder.work, child.pid)
    await child.wait()
    run.attempt.recover()
    await run.attempt.live(_ROOM, resume=True)
    assert [(step.exit_code, step.reason) for step in (run.said.exited, run.said.done)] == [(0, end) for end in ends]


async def test_that_a_program_was_asked_is_known_before_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "watch", _never)  # the next who looks is to be who asks it to end
    run = _Run(tmp_path, CATCHES)
    found: list[Verdict | None] = []
    living = await run.begin()
    run.census.before = lambda: found.append(run.folder.read_verdict())
    run.attempt.end(Reason.INTERRUPTED, "the runner was stopped")
    found.append(run.folder.read_verdict())
    await living
    assert [verdict and verdict.asked for verdict in found] == [False, True]


async def test_outputs_that_are_looked_for_when_it_is_canceled_are_not_taken_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`deliver` is asked for the logs only, of which there are none."""
    task = a_task(script="true", outputs=[{"path": "out.bin"}])
    folder, delivered = _folder(tmp_path, task), []

    class Carrier:
        """Takes home what it is given."""

        def transfer(self, _task: RunTask) -> Carrier:
            return self

        async def deliver(self, items: list[object]) -> tuple[list[object], list[str]]:
            delivered.append(items)
            return [], []

    async def finish() -> None:
        """Publish nothing."""

    live = cast(Any, SimpleNamespace(finish=finish, news=lambda: ""))
    finishing = Finishing(task=task, folder=folder, carrier=cast(Any, Carrier()), live=live)
    canceled = Verdict(reason=Reason.CANCELED, message="canceled on request")

    def find(*_: object) -> tuple[list[object], list[str]]:
        finishing.cancel(canceled)
        return ["out.bin"], []

    monkeypatch.setattr(finishings, "find_outputs", find)
    last = await finishing.finish(Exit(0, False, 0.0, 0, 0.0), Usage(wall_seconds=1), None, within=None)
    assert (last.reason, last.outputs, delivered) == (Reason.CANCELED, [], [[]])


async def test_a_run_that_is_ended_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "watch", _never)
    run = _Run(tmp_path, CATCHES)
    living = await run.begin()
    run.attempt.end(Reason.CANCELED, "canceled on request")
    await living
    assert run.said.done.usage
    assert (run.said.done.usage.memory_peak or 0) > 0


@pytest.mark.parametrize(
    ("script", "reason", "left"),
    [
        (ENDS.format(code=0), Reason.INTERRUPTED, None),
        (ENDS.format(code=0), Reason.CANCELED, Reason.CANCELED),
        (CATCHES, Reason.INTERRUPTED, Reason.INTERRUPTED),
    ],
    ids=["faster", "canceled", "asked"],
)
async def test_it_is_the_same_for_a_task_of_an_array(
    tmp_path: Path, script: str, reason: Reason, left: Reason | None
) -> None:
    census = _Late()
    folder = _folder(tmp_path, a_task(script=script))
    means = _means(tmp_path, Said(), census)
    task = BundleTask(key=(1, 1), folder=folder, means=means, allocation=_ROOM, started_at=now())
    child: Child = spawn(folder, ["/bin/sh", "-c", script], {"SHUNTER_RUN": folder.name})
    following = asyncio.create_task(task.follow(child, 60.0))
    await until_up(folder.work)
    if script != CATCHES:
        census.after = lambda: let_end(folder.work, child.pid)
    task.end(reason, "it is time")
    ended, usage = await following
    assert (ended.code, task.verdict and task.verdict.reason) == (0, left)
    assert (usage.memory_peak or 0) > 0
