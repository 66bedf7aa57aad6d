"""Jobs from end to end, on the real stack, through the public API."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.support.invariants import check_everything
from tests.support.jobs import cancel, get, logs, submit, until, until_ended
from tests.support.stack import Stack


@pytest.fixture
def owner(stack: Stack) -> httpx.Client:
    return stack.client("owner")


@pytest.fixture
def other(stack: Stack) -> httpx.Client:
    return stack.client("other")


def _put(client: httpx.Client, path: str, content: bytes) -> None:
    assert client.put(f"/v1/files/{path}", content=content).status_code == 201


def test_a_job_stages_in_runs_and_brings_its_outputs_home(owner: httpx.Client) -> None:
    content = b"".join(bytes([n % 256]) for n in range(300_000))
    _put(owner, "in/data.bin", content)
    job = submit(
        owner,
        script="mkdir -p out/deep && cat data.bin > out/deep/copy.bin && echo hello && echo warn >&2",
        inputs=[{"source": "in/data.bin"}],
        outputs=[{"path": "out/**/*.bin"}],
    )
    ended = until_ended(owner, job)
    assert (ended["state"], ended["exit_code"]) == ("succeeded", 0), ended
    assert logs(owner, job) == b"hello\n"
    assert logs(owner, job, "stderr") == b"warn\n"
    files = {item["path"]: item for item in owner.get(f"/v1/jobs/{job}/files").json()["items"]}
    copy = files["outputs/out/deep/copy.bin"]
    assert copy["sha256"] == hashlib.sha256(content).hexdigest()
    got = owner.get(f"/v1/jobs/{job}/files/outputs/out/deep/copy.bin")
    assert got.content == content
    part = owner.get(f"/v1/jobs/{job}/files/outputs/out/deep/copy.bin", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])


def test_an_input_that_changes_after_the_submit_is_staged_as_it_was(owner: httpx.Client) -> None:
    _put(owner, "frozen.txt", b"before")
    job = submit(owner, "cat", "frozen.txt", inputs=[{"source": "frozen.txt"}], hold=True)
    until(owner, job, "held")
    _put(owner, "frozen.txt", b"after!")
    assert owner.post(f"/v1/jobs/{job}/start").status_code in {200, 202}
    assert until_ended(owner, job)["state"] == "succeeded"
    assert logs(owner, job) == b"before"


def test_a_job_that_exits_with_3_says_so_and_can_be_retried_as_a_new_one(owner: httpx.Client) -> None:
    job = submit(owner, "sh", "-c", "echo partial; exit 3")
    ended = until_ended(owner, job)
    assert (ended["state"], ended["exit_code"]) == ("failed", 3)
    assert logs(owner, job) == b"partial\n"
    again = owner.post(f"/v1/jobs/{job}/retry")
    assert again.status_code == 201
    assert again.json()["retry_of"] == job
    assert until_ended(owner, again.json()["id"])["exit_code"] == 3
    assert get(owner, job)["state"] == "failed"


def test_a_canceled_job_leaves_no_process_and_keeps_its_partial_log(owner: httpx.Client, tmp_path: Path) -> None:
    mark, begun = uuid4().hex, tmp_path / "begun"
    script = f"echo begun; touch {begun}; setsid sleep 1000.{mark[:6]} & sleep 1000; echo never"
    job = submit(owner, "sh", "-c", script, env={"MARK": mark})
    until(owner, job, "running")
    _wait_for(lambda: begun.exists() and _marked(mark))
    assert cancel(owner, job).status_code == 202
    ended = until_ended(owner, job)
    assert ended["state"] == "canceled"
    assert not _marked(mark)
    assert logs(owner, job) == b"begun\n"
    assert cancel(owner, job).status_code == 200


def _marked(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("MARK") == mark:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _wait_for(condition: object, seconds: float = 15) -> None:
    until_then = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until_then
        time.sleep(0.05)


def test_logs_are_followed_live_and_resumed_without_loss(owner: httpx.Client) -> None:
    job = submit(owner, "sh", "-c", "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.2; done")
    until(owner, job, "running", "succeeded")
    first, position = _follow(owner, job, None, stop_after=2)
    rest, _ = _follow(owner, job, position)
    assert first + rest == "".join(f"line {n}\n" for n in range(1, 7))
    assert logs(owner, job).decode() == first + rest


def _follow(client: httpx.Client, job: str, position: str | None, stop_after: int = 10**9) -> tuple[str, str]:
    headers = {"Last-Event-ID": position} if position else {}
    text, at, seen = "", position or "", 0
    with client.stream("GET", f"/v1/jobs/{job}/logs", params={"follow": "true"}, headers=headers) as answer:
        kind = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                at = value
            elif name == "data" and kind == "log":
                text += json.loads(value)["text"]
            elif name == "data" and kind == "end":
                break
            elif not line and kind == "log":
                seen += 1
                if seen >= stop_after:
                    break
    return text, at


def test_the_same_idempotency_key_is_the_same_job(owner: httpx.Client) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = owner.post("/v1/jobs", json={"argv": ["true"]}, headers=key)
    again = owner.post("/v1/jobs", json={"argv": ["true"]}, headers=key)
    other = owner.post("/v1/jobs", json={"argv": ["false"]}, headers=key)
    assert first.json()["id"] == again.json()["id"]
    assert (first.status_code, other.status_code) == (201, 422)
    assert other.json()["code"] == "idempotency_mismatch"


def test_what_is_not_yours_does_not_exist(owner: httpx.Client, other: httpx.Client) -> None:
    _put(owner, "mine/secret.txt", b"secret")
    job = submit(owner, "echo", "secret")
    until_ended(owner, job)
    for path in ("", "/history", "/logs", "/files", "/logs?follow=true"):
        assert other.get(f"/v1/jobs/{job}{path}").status_code == 404, path
    assert other.post(f"/v1/jobs/{job}/cancel").status_code == 404
    assert other.get("/v1/files/mine/secret.txt").status_code == 404
    assert other.get("/v1/files", params={"prefix": "mine"}).json()["items"] == []
    assert job not in {item["id"] for item in other.get("/v1/jobs").json()["items"]}
    assert other.get("/v1/events", params={"job": job, "since_sequence": 1}).json()["items"] == []
    missing = other.post("/v1/jobs", json={"argv": ["true"], "inputs": [{"source": "mine/secret.txt"}]})
    assert missing.status_code == 422
    assert missing.json()["errors"][0]["field"] == "inputs.0.source"


def test_retries_make_new_attempts_and_walltime_ends_them(owner: httpx.Client) -> None:
    job = submit(owner, "sleep", "60", resources={"walltime": 0.5}, retries={"max": 1, "backoff": 0})
    ended = until_ended(owner, job)
    assert (ended["state"], ended["reason"], ended["attempt"]) == ("failed", "walltime", 2)


def test_many_jobs_at_once_all_end_and_every_figure_can_be_rebuilt(stack: Stack, owner: httpx.Client) -> None:
    jobs = [submit(owner, "true") for _ in range(20)]
    assert {until_ended(owner, job)["state"] for job in jobs} == {"succeeded"}
    assert check_everything(stack.client("admin")).jobs >= 20


def test_the_list_is_paged_and_filtered(owner: httpx.Client) -> None:
    name = f"paged-{uuid4().hex[:8]}"
    jobs = [submit(owner, "true", name=name, labels={"n": str(n)}) for n in range(5)]
    for job in jobs:
        until_ended(owner, job)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = owner.get("/v1/jobs", params={"name": name, "limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == jobs[::-1]
    labeled = owner.get("/v1/jobs", params={"name": name, "label": "n=3"}).json()["items"]
    assert [item["id"] for item in labeled] == [jobs[3]]
