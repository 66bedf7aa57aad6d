"""Arrays from end to end, on the real stack, through the public API."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.array_invariants import all_tasks
from tests.support.invariants import check_everything
from tests.support.jobs import get, submit, until, until_ended
from tests.support.stack import Stack, shunter

ROOM = {"cpus": 0.1}


@pytest.fixture
def owner(stack: Stack) -> httpx.Client:
    return stack.client("owner")


def _states(tasks: list[dict[str, Any]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for task in tasks:
        found.setdefault(task["state"], set()).add(task["index"])
    return found


def _until_tasks(owner: httpx.Client, job: str, condition: Any, seconds: float = 120) -> None:
    ends = time.monotonic() + seconds
    while not condition(counts := get(owner, job)["tasks"]):
        assert time.monotonic() < ends, f"{job}: {counts}"
        time.sleep(0.05)


def test_a_thousand_tasks_fail_are_retried_and_survive_a_killed_runner(
    stack: Stack, owner: httpx.Client, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    ran.mkdir()
    gate = tmp_path / "gate"
    script = f"""
echo >> {ran}/{{}}$SHUNTER_ARRAY_INDEX
[ "$SHUNTER_ARRAY_INDEX" -lt 400 ] || while [ ! -e {gate} ]; do sleep 0.1; done
echo task $SHUNTER_ARRAY_INDEX
[ $((SHUNTER_ARRAY_INDEX % 100)) -ne 7 ]
"""
    job = submit(owner, script=script.replace("{}", ""), array={"count": 1000}, resources=ROOM, name="thousand")
    _until_tasks(owner, job, lambda counts: counts["running"] > 0 and counts["succeeded"] >= 396)
    stack.kill("runner")
    gate.touch()
    stack.start_part("runner")
    ended = until_ended(owner, job, seconds=180)
    assert (ended["state"], ended["message"]) == ("failed", "10 failed of 1000 tasks"), ended
    assert "items" not in ended["spec"]["array"] or ended["spec"]["array"]["items"] is None
    tasks = all_tasks(owner, job)
    failed = set(range(7, 1000, 100))
    assert _states(tasks) == {"failed": failed, "succeeded": set(range(1000)) - failed}
    assert {task["index"]: (task["exit_code"], task["attempt"]) for task in tasks} == {
        index: (int(index in failed), 1) for index in range(1000)
    }
    assert [path.name for path in ran.iterdir() if path.read_text() != "\n"] == [], "a task ran twice"
    listed = all_tasks(owner, job, state="failed", limit=3)
    assert {task["index"] for task in listed} == failed
    for index in (0, 407, 999):
        assert owner.get(f"/v1/jobs/{job}/tasks/{index}/logs").text == f"task {index}\n"
    part = owner.get(f"/v1/jobs/{job}/tasks/999/logs", headers={"Range": "bytes=5-7"})
    assert (part.status_code, part.text) == (206, "999")
    page = owner.get(f"/v1/jobs/{job}/task-logs", params={"limit": 5}).json()
    assert [item["index"] for item in page["items"]] == [0, 1, 2, 3, 4]
    assert owner.get(page["items"][3]["href"]).text == "task 3\n"
    again = owner.post(f"/v1/jobs/{job}/retry", json={"tasks": "failed"})
    assert again.status_code == 201, again.text
    once_more = until_ended(owner, again.json()["id"])
    assert (once_more["retry_of"], once_more["tasks"]["failed"], once_more["tasks"]["total"]) == (job, 10, 10)
    assert {task["index"] for task in all_tasks(owner, once_more["id"])} == failed
    assert check_everything(stack.client("admin")).tasks >= 1010


def test_some_tasks_are_canceled_and_the_others_end_as_they_do(owner: httpx.Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.05; done"
    job = submit(owner, "sh", "-c", wait, array={"count": 60, "max_running": 2}, resources=ROOM)
    _until_tasks(owner, job, lambda counts: counts["running"] == 2)
    (first, *_) = all_tasks(owner, job, state="running")
    assert owner.post(f"/v1/jobs/{job}/cancel", json={"tasks": "60"}).status_code == 422
    assert owner.post(f"/v1/jobs/{job}/cancel", json={"tasks": "5-"}).json()["errors"][0]["field"] == "tasks"
    answer = owner.post(f"/v1/jobs/{job}/cancel", json={"tasks": f"{first['index']},40-49"})
    assert answer.status_code == 202, answer.text
    _until_tasks(owner, job, lambda counts: counts["canceled"] == 11)
    gate.touch()
    ended = until_ended(owner, job)
    assert (ended["state"], ended["message"]) == ("failed", "11 canceled of 60 tasks")
    canceled = {first["index"], *range(40, 50)}
    assert _states(all_tasks(owner, job)) == {"canceled": canceled, "succeeded": set(range(60)) - canceled}
    assert owner.post(f"/v1/jobs/{job}/retry", json={"tasks": "failed"}).status_code == 409


def test_a_whole_array_is_canceled_with_what_never_had_its_turn(owner: httpx.Client) -> None:
    job = submit(owner, "sleep", "300", array={"count": 100_000}, resources=ROOM)
    _until_tasks(owner, job, lambda counts: counts["running"] > 0)
    assert owner.post(f"/v1/jobs/{job}/cancel").status_code in {200, 202}
    ended = until_ended(owner, job, seconds=120)
    assert (ended["state"], ended["tasks"]["canceled"]) == ("canceled", 100_000)
    last = owner.get(f"/v1/jobs/{job}/tasks/99999").json()
    assert (last["state"], last["attempt"]) == ("canceled", 0)


def test_items_files_and_retries_of_tasks(stack: Stack, owner: httpx.Client, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert owner.put(f"/v1/files/in/{name}.txt", content=name.encode()).status_code == 201
    script = f"""
cat in.txt > out-$SHUNTER_ARRAY_INDEX
[ "$SHUNTER_ATTEMPT" -gt 1 ] || [ "$SHUNTER_ARRAY_ITEM" = a ] || {{ touch {tmp_path}/failed; exit 1; }}
"""
    job = submit(
        owner,
        script=script,
        array={"items": ["a", "b"]},
        inputs=[{"source": "in/{item}.txt", "path": "in.txt"}],
        outputs=[{"path": "out-{index}"}],
        retries={"max": 1, "backoff": 0.1},
        resources=ROOM,
    )
    assert until_ended(owner, job)["state"] == "succeeded"
    tasks = all_tasks(owner, job)
    assert [(task["item"], task["attempt"]) for task in tasks] == [("a", 1), ("b", 2)]
    assert [file["path"] for task in tasks for file in task["outputs"]] == ["outputs/out-0", "outputs/out-1"]
    assert owner.get(f"/v1/jobs/{job}/files/outputs/out-1").content == b"b"
    missing = owner.post(
        "/v1/jobs", json={"argv": ["true"], "array": {"count": 2}, "inputs": [{"source": "in/{index}.txt"}]}
    )
    assert missing.status_code == 422
    copied = owner.post("/v1/jobs", json=get(owner, job)["spec"])
    assert (copied.status_code, copied.json()["errors"][0]["field"]) == (422, "array.items")


def test_the_largest_array_is_taken_and_a_larger_one_is_refused(owner: httpx.Client) -> None:
    items = ["x" * 30] * 100_000
    taken = owner.post("/v1/jobs", json={"argv": ["true", "{item}"], "array": {"items": items}, "hold": True})
    assert taken.status_code == 201, taken.text[:500]
    assert len(taken.content) < 5000
    job = taken.json()["id"]
    assert owner.get(f"/v1/jobs/{job}/tasks/99999").json()["item"] == items[0]
    events = owner.get("/v1/events", params={"job": job, "since_sequence": 1})
    assert len(events.content) < 20_000
    assert owner.post(f"/v1/jobs/{job}/cancel").status_code in {200, 202}
    until(owner, job, "canceled")
    refused = owner.post("/v1/jobs", json={"argv": ["true"], "array": {"items": ["x" * 60] * 100_000}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "array.items")


def test_the_command_line_knows_arrays(stack: Stack, tmp_path: Path) -> None:
    def run(*argv: str) -> str:
        return subprocess.run(
            [shunter(), *argv], env=stack.environment(), capture_output=True, text=True, timeout=120, check=False
        ).stdout

    (tmp_path / "words").write_text("one\ntwo\nthree\n")
    submitted = run(
        *("submit", "--items-from", str(tmp_path / "words"), "--max-running", "2", "--cpus", "0.1"),
        *("--wait", "--json", "--", "sh", "-c", "echo {item}; [ {item} != two ]"),
    )
    job = json.loads(submitted.splitlines()[-1])["id"]
    assert [task["index"] for task in json.loads(run("tasks", job, "--state", "failed", "--json"))["items"]] == [1]
    assert run("logs", job, "--task", "2") == "three\n"
    again = json.loads(run("retry", job, "--failed", "--json"))
    assert again["spec"]["array"]["only"] == "1"
    run("wait", again["id"])
    assert run("logs", again["id"], "--task", "1") == "two\n"
    assert os.linesep in run("tasks", job)
