"""Workflows that began under an earlier release go on under this one; red means that running jobs would get stuck."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from services.scheduler.worker import workflow_runner
from services.scheduler.workflows.job import JobWorkflow

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def _read(path: Path) -> WorkflowHistory:
    written = json.loads(path.read_text())
    return WorkflowHistory.from_json(written["id"], written["history"])


def _replayer(workflow: type = JobWorkflow) -> Replayer:
    runner: SandboxedWorkflowRunner = workflow_runner()
    return Replayer(workflows=[workflow], data_converter=pydantic_data_converter, workflow_runner=runner)


def test_there_are_histories_of_every_kind_of_life() -> None:
    assert len(HISTORIES) >= 6


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_job_replays(path: Path) -> None:
    await _replayer().replay_workflow(_read(path))
