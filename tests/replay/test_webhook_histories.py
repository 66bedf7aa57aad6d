"""Lines of deliveries that began under an earlier release go on under this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from services.scheduler.worker import workflow_runner
from services.scheduler.workflows.webhook import DeliveryLine

HISTORIES = sorted((Path(__file__).parent / "histories" / "webhooks").glob("*.json"))


def _read(path: Path) -> WorkflowHistory:
    written = json.loads(path.read_text())
    return WorkflowHistory.from_json(written["id"], written["history"])


def test_there_are_histories_of_every_kind_of_line() -> None:
    assert len(HISTORIES) >= 3


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_line_replays(path: Path) -> None:
    replayer = Replayer(
        workflows=[DeliveryLine], data_converter=pydantic_data_converter, workflow_runner=workflow_runner()
    )
    await replayer.replay_workflow(_read(path))
