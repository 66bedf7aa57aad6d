"""Batches and schedules from end to end, on the real stack, as users speak to it."""

from __future__ import annotations

import json
import subprocess

from tests.support.jobs import until_ended
from tests.support.stack import Stack, shunter

MANY = """\
name: diamond
jobs:
  - {key: top, argv: [echo, top]}
  - &branch {key: left, script: "echo left; exit 3\\n", after: [{key: top}]}
  - {<<: *branch, key: right, script: "echo right\\n"}
  - {key: join, argv: [echo, join], after: [{key: left}, {key: right}]}
  - {key: mend, argv: [echo, mend], after: [{key: left, on: failure}]}
"""


def run(stack: Stack, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shunter(), *words],
        input=stdin,
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_diamond_with_a_branch_that_fails(stack: Stack) -> None:
    ended = run(stack, "submit", "-f", "-", "--wait", "--json", stdin=MANY)
    assert ended.returncode == 1, ended.stderr
    batch = json.loads(ended.stdout)
    assert {job["key"]: job["state"] for job in batch["jobs"]} == {
        "top": "succeeded",
        "left": "failed",
        "right": "succeeded",
        "join": "canceled",
        "mend": "succeeded",
    }
    join = next(job for job in batch["jobs"] if job["key"] == "join")
    assert "exit code 3" in join["message"]
    shown = run(stack, "batch", "show", "diamond")
    assert shown.returncode == 0, shown.stderr
    assert "left (failure)" in shown.stdout


def test_a_schedule_runs_by_hand_and_is_gone_when_removed(stack: Stack) -> None:
    made = run(stack, "schedule", "create", "-n", "now-and-then", "--every", "300d", "--json", "--", "echo", "hello")
    assert made.returncode == 0, made.stderr
    fired = run(stack, "schedule", "trigger", "now-and-then", "--json")
    assert fired.returncode == 0, fired.stderr
    client = stack.client()
    job = until_ended(client, json.loads(fired.stdout)["job_id"])
    assert (job["state"], job["schedule_id"]) == ("succeeded", json.loads(made.stdout)["id"])
    assert run(stack, "schedule", "rm", "now-and-then").returncode == 0
    assert run(stack, "schedule", "show", "now-and-then").returncode == 4
