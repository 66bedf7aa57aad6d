"""What has ended by itself is not ended by anybody: its own end counts, although nobody has come to it yet."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contracts.states import Reason
from services.scheduler.runner.attempt import Attempt
from services.scheduler.runner.isolation.isolation import Isolation
from services.scheduler.runner.journal import Journal, RunFolder, Verdict
from services.scheduler.runner.settings import RunnerSection
from tests.support.runners import a_task

TASK = a_task("true")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = Journal(tmp_path).folder(TASK.workload_id, 1)
    found.take(TASK)
    return found


def _attempt(folder: RunFolder) -> Attempt:
    section = RunnerSection(work=folder.path)
    parts: dict[str, Any] = {"section": section, "isolation": Isolation(section)}
    means = SimpleNamespace(link=None, carrier=None, census=None, gpus=None, views=None, **parts)
    return Attempt(task=TASK, folder=folder, means=cast(Any, means), release=lambda _: None)


@pytest.mark.parametrize("reason", [Reason.INTERRUPTED, Reason.WALLTIME, Reason.MEMORY])
def test_a_program_that_has_ended_is_not_ended_for_another_reason(folder: RunFolder, reason: Reason) -> None:
    folder.exit.write_text("0\n0m0.01s 0m0.00s\n")
    attempt = _attempt(folder)
    attempt.end(reason, "too late")
    assert not attempt.is_decided
    assert folder.read_verdict() is None


def test_a_program_that_has_ended_can_still_be_canceled(folder: RunFolder) -> None:
    folder.exit.write_text("0\n0m0.01s 0m0.00s\n")
    attempt = _attempt(folder)
    attempt.end(Reason.CANCELED, "canceled")
    assert folder.read_verdict() == Verdict(reason=Reason.CANCELED, message="canceled", asked=False)


def test_a_program_that_runs_is_ended_for_the_first_reason(folder: RunFolder) -> None:
    attempt = _attempt(folder)
    attempt.end(Reason.WALLTIME, "too long")
    attempt.end(Reason.INTERRUPTED, "the runner was stopped")
    assert folder.read_verdict() == Verdict(reason=Reason.WALLTIME, message="too long", asked=False)
