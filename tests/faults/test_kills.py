"""`kill -9` in the middle of work: every job reaches its right end, once, and no figure is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.invariants import check_everything
from tests.support.jobs import logs, submit, until, until_ended
from tests.support.stack import Stack, run_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for this file, whose parts stay dead when they are killed."""
    with run_stack(tmp_path_factory.mktemp("faults")) as running:
        yield running
        running.stop()


@pytest.fixture
def owner(stack: Stack) -> httpx.Client:
    return stack.client("owner")


def _witness(tmp_path: Path, seconds: float | str) -> list[str]:
    """Return a program that leaves a line outside its folder each time it runs."""
    return ["sh", "-c", f"echo ran >> {tmp_path}/witness; sleep {seconds}; echo done"]


def _times_run(tmp_path: Path) -> int:
    return len((tmp_path / "witness").read_text().splitlines())


@pytest.mark.parametrize("part", ["scheduler", "gateway", "storage", "accounting"])
def test_a_job_in_flight_survives_the_death_of_a_service(
    stack: Stack, owner: httpx.Client, tmp_path: Path, part: str
) -> None:
    job = submit(owner, *_witness(tmp_path, 2))
    until(owner, job, "running")
    stack.kill(part)
    stack.start_part(part)
    ended = until_ended(owner, job)
    assert (ended["state"], ended["attempt"], _times_run(tmp_path)) == ("succeeded", 1, 1)
    assert logs(owner, job) == b"done\n"
    check_everything(stack.client("admin"))


def test_a_job_goes_on_while_its_runner_is_dead(stack: Stack, owner: httpx.Client, tmp_path: Path) -> None:
    job = submit(owner, *_witness(tmp_path, 2))
    until(owner, job, "running")
    stack.kill("runner")
    stack.start_part("runner")
    ended = until_ended(owner, job)
    assert (ended["state"], ended["attempt"], _times_run(tmp_path)) == ("succeeded", 1, 1)
    assert logs(owner, job) == b"done\n"
    check_everything(stack.client("admin"))


def test_a_job_submitted_while_the_scheduler_is_away_runs_later(stack: Stack, owner: httpx.Client) -> None:
    stack.kill("scheduler")
    answer = owner.post("/v1/jobs", json={"argv": ["true"]}, headers={"Prefer": "wait=0.5"})
    assert answer.status_code == 202
    assert answer.headers["location"].endswith(answer.json()["id"])
    stack.start_part("scheduler")
    assert until_ended(owner, answer.json()["id"])["state"] == "succeeded"
    check_everything(stack.client("admin"))


@pytest.mark.parametrize("part", ["nats", "temporal", "s3"])
def test_a_job_in_flight_survives_the_death_of_a_server(
    stack: Stack, owner: httpx.Client, tmp_path: Path, part: str
) -> None:
    job = submit(owner, *_witness(tmp_path, 2))
    until(owner, job, "running")
    stack.kill(part)
    stack.start_part(part)
    ended = until_ended(owner, job)
    assert (ended["state"], _times_run(tmp_path)) == ("succeeded", 1)
    assert logs(owner, job) == b"done\n"
    assert until_ended(owner, submit(owner, "true"))["state"] == "succeeded"
    check_everything(stack.client("admin"))


def test_a_restarted_stack_goes_on_with_the_jobs_in_flight(tmp_path: Path) -> None:
    with run_stack(tmp_path / "data") as first:
        # Its first run is long enough to be seen, however slow the machine is today; the second is short.
        seconds = f"$([ $(wc -l < {tmp_path}/witness) = 1 ] && echo 60 || echo 0)"
        job = submit(first.client(), *_witness(tmp_path, seconds))
        held = submit(first.client(), "true", hold=True)
        until(first.client(), job, "running")
        assert first.stop() == 0
    with run_stack(tmp_path / "data", port=first.port) as second:
        ended = until_ended(second.client(), job)
        assert (ended["state"], ended["attempt"], _times_run(tmp_path)) == ("succeeded", 2, 2)
        second.client().post(f"/v1/jobs/{held}/start")
        assert until_ended(second.client(), held)["state"] == "succeeded"
        check_everything(second.client("admin"))
