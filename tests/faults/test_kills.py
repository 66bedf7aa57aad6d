"""`kill -9` in the middle of work: every job reaches its right end, once, and no figure is lost."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from deploy.local.parts import NAMES
from tests.faults.drill import PATIENT, Drill
from tests.support.fault_stack import FaultStack, await_that
from tests.support.invariants import check_everything
from tests.support.jobs import submit, until, until_ended
from tests.support.stack import run_stack

_AWAY = 5.0
"""Seconds that a part stays dead."""
_BATCH = ("nap", "ok", "nap", "fail", "nap", "flaky", "nap", "ok", "nap", "stage") * 2


@pytest.mark.parametrize("part", NAMES)
def test_a_batch_in_flight_survives_the_death_of_a_part(fault_stack: FaultStack, drill: Drill, part: str) -> None:
    drill.upload("owner", f"{drill.name}/in.bin", bytes(range(256)) * 400, patience=PATIENT)
    for number, kind in enumerate(_BATCH):
        if number == len(_BATCH) * 3 // 4:
            # Some have ended, some run, some are on their way.
            fault_stack.kill(part)
            killed_at = time.monotonic()
        drill.submit("owner", kind, f"{drill.name}/in.bin" if kind == "stage" else None)
    time.sleep(max(0.0, killed_at + _AWAY - time.monotonic()))
    fault_stack.start(part, ready=False)
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])
    assert outcome.jobs == len(_BATCH)


def test_everything_is_told_to_stop_with_many_jobs_in_flight(fault_stack: FaultStack, drill: Drill) -> None:
    for number in range(40):
        drill.submit("owner", "nap" if number % 4 else "ok")
    taken: dict[str, float] = {}
    for group in (("gateway", "runner"), ("scheduler", "storage", "accounting")):
        for name in group:
            fault_stack.terminate(name)
        taken |= fault_stack.await_ends()
    late, fault_stack.overdue = fault_stack.overdue, []
    assert late == [], taken
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])
    assert outcome.jobs == 40


def test_a_job_submitted_while_the_scheduler_is_away_runs_later(fault_stack: FaultStack, drill: Drill) -> None:
    fault_stack.kill("scheduler")
    answer = fault_stack.client().post("/v1/jobs", json={"argv": ["true"]}, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert answer.headers["location"].endswith(answer.json()["id"])
    fault_stack.start("scheduler")
    assert until_ended(fault_stack.client(), answer.json()["id"])["state"] == "succeeded"


@pytest.mark.slow
def test_a_restarted_stack_goes_on_with_the_jobs_in_flight(tmp_path: Path) -> None:
    """Alone covers a whole stack that is stopped and started with work in flight, by `shunter up`."""
    witness = tmp_path / "witness"
    # Its first run is long enough to be seen, however slow the machine is today; the second is short.
    seconds = f"$([ $(wc -l < {witness}) = 1 ] && echo 60 || echo 0)"
    with run_stack(tmp_path / "data") as first:
        job = submit(first.client(), "sh", "-c", f"echo ran >> {witness}; sleep {seconds}; echo done")
        held = submit(first.client(), "true", hold=True)
        until(first.client(), job, "running")
        await_that(lambda: witness.exists() and witness.read_text(), "the job to leave its line")
        assert first.stop() == 0
    with run_stack(tmp_path / "data", port=first.port) as second:
        ended = until_ended(second.client(), job)
        assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
        assert len(witness.read_text().splitlines()) == 2
        _release(second.client(), held)
        assert until_ended(second.client(), held)["state"] == "succeeded"
        check_everything(second.client("admin"))


def _release(client: httpx.Client, job: str) -> None:
    assert client.post(f"/v1/jobs/{job}/start").is_success
