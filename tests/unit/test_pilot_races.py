"""The pilot's part of `test_runner_races.py`: what it says of its program's end and of the attempt's agrees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contracts.states import Reason
from services.scheduler.pilot import attempt as attempts
from services.scheduler.pilot import finishing as finishings
from services.scheduler.pilot.attempt import Attempt
from services.scheduler.pilot.census import Census, Member
from services.scheduler.pilot.finishing import Finishing, Verdict
from services.scheduler.pilot.folder import RunFolder
from services.scheduler.pilot.gpus import Gpus
from services.scheduler.pilot.means import Means
from services.scheduler.pilot.output import LiveOutput
from services.scheduler.pilot.patience import Patience
from services.scheduler.pilot.process import Exit
from services.scheduler.pilot.reports import Reports
from services.scheduler.pilot.views import Views
from services.scheduler.pilot.words import Task, Terms, Usage
from tests.support.late_programs import CATCHES, ENDS, Said, let_end, make_doors, until_up
from tests.support.runners import a_task


class _Late(Census):
    """Something happens while it looks, after it has seen who is there."""

    after: Callable[[], None] | None = None

    def members(self, run: str, *, max_age: float = 0.0, wide: bool = False) -> list[Member]:
        found = super().members(run, max_age=max_age, wide=wide)
        after, self.after = self.after, None
        if after:
            after()
        return found

    def reap(self) -> None:
        """Leave the children of whoever runs this test alone."""


class _Run:
    """One attempt, its pilot's means, and what is said of it."""

    def __init__(self, root: Path, script: str, **changes: Any) -> None:
        self.task = Task.of(a_task(script=script, **changes).model_dump(mode="json"))
        self.said, self.census = Said(), _Late()
        self.means = Means(
            link=cast(Any, self.said),
            terms=Terms(hold=0.0),
            backend="hpc",
            work=root,
            given={},
            census=self.census,
            gpus=Gpus(),
            views=Views("replace"),
        )
        self.folder = RunFolder(root / self.task.name, self.task.name)
        self.attempt = Attempt(task=self.task, means=self.means, freed=lambda: None)

    async def begin(self) -> asyncio.Task[None]:
        """Return when its program runs."""
        self.folder.create()
        make_doors(self.folder.work)
        living = asyncio.create_task(self.attempt.live())
        await until_up(self.folder.work)
        return living

    def let_end(self) -> None:
        """Let the program end by itself."""
        let_end(self.folder.work, self.census.roots[self.task.name])


async def test_a_program_that_was_faster_has_ended_by_itself(tmp_path: Path) -> None:
    run = _Run(tmp_path, ENDS.format(code=0))
    living = await run.begin()
    run.census.after = run.let_end
    run.attempt.end("walltime", "too late")
    await living
    assert (run.said.exited.exit_code, run.said.exited.reason) == (0, None)
    assert run.said.done.reason is Reason.EXITED


async def test_where_the_cluster_may_have_asked_too_an_end_meanwhile_is_no_good_one(tmp_path: Path) -> None:
    run = _Run(tmp_path, ENDS.format(code=0))
    living = await run.begin()
    run.census.after = run.let_end
    run.attempt.interrupt(within=30.0)
    await living
    steps = (run.said.exited, run.said.done)
    assert [(step.exit_code, step.reason) for step in steps] == [(0, Reason.INTERRUPTED)] * 2


@pytest.mark.parametrize("reason", ["canceled", "walltime"])
async def test_a_program_that_ends_well_because_it_was_asked_to_was_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    async def never(**_: object) -> None:
        """Look at nothing: it is looked at before it is ended."""

    monkeypatch.setattr(attempts, "watch", never)
    run = _Run(tmp_path, CATCHES)
    living = await run.begin()
    run.attempt.end(reason, "it is time")
    await living
    assert [(step.exit_code, step.reason) for step in (run.said.exited, run.said.done)] == [(0, Reason(reason))] * 2
    assert run.said.done.usage
    assert (run.said.done.usage.memory_peak or 0) > 0


def _finishing(root: Path) -> Finishing:
    """Return the last part of a run that is to bring an output."""
    run = _Run(root, "true", outputs=[{"path": "out.bin"}])
    run.folder.create()
    live = LiveOutput(Reports(link=run.means.link, task=run.task, hold=0.0).keep_output, {}, cap=0)
    return Finishing(task=run.task, folder=run.folder, means=run.means, live=live)


async def test_outputs_that_are_looked_for_when_it_is_canceled_are_not_taken_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finishing, delivered = _finishing(tmp_path), list[object]()

    def find(*_: object) -> tuple[list[object], list[str]]:
        finishing.cancel(Verdict("canceled", "canceled on request"))
        return ["out.bin"], []

    async def deliver(items: list[object]) -> tuple[list[object], list[str]]:
        delivered.extend(items)
        return [], []

    monkeypatch.setattr(finishings, "find_outputs", find)
    monkeypatch.setattr(Means, "transfer", lambda *_: SimpleNamespace(deliver=deliver))
    last = await finishing.finish(Exit(0, False, 0.0, 0, 0.0), Usage(), None, Patience())
    assert (last.reason, last.outputs, delivered) == ("canceled", [], [])


async def test_a_good_end_whose_outputs_found_no_time_to_come_home_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finishing = _finishing(tmp_path)

    async def for_ever(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(finishing, "_outputs", for_ever)
    patience = Patience()
    patience.hurry(0.0)
    last = await finishing.finish(Exit(0, False, 0.0, 0, 0.0), Usage(), None, patience)
    assert (last.reason, last.outputs) == ("interrupted", [])
