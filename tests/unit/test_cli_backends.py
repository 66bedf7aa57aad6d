"""`backends` and `submit --dry-run` at the command line, against a played server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.api import examples
from tests.support.rest import FakeServer, problem
from tests.support.terminal import Terminal

CALLS: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("backends", "GET", "/v1/backends", {"items": [examples.BACKEND_DRAINED]}, "draining by root: new disks"),
    ("backends show local", "GET", "/v1/backends/local", examples.BACKEND, "basement"),
    ("backends drain local -m why", "POST", "/v1/admin/backends/local/drain", examples.BACKEND_DRAINED, "1 run"),
    ("backends resume local", "POST", "/v1/admin/backends/local/resume", examples.BACKEND, "local is up"),
]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(FakeServer(), tmp_path)


@pytest.mark.parametrize(("words", "method", "path", "answer", "said"), CALLS, ids=[call[0] for call in CALLS])
def test_each_command_asks_and_tells(
    terminal: Terminal, words: str, method: str, path: str, answer: dict[str, Any], said: str
) -> None:
    terminal.server.on(method, path, answer)
    shown = terminal.run(*words.split())
    assert shown.code == 0, shown.err
    assert said in shown.out
    terminal.server.on(method, path, answer)
    assert "local" in json.dumps(terminal.run(*words.split(), "--json").json())


def test_why_it_is_drained_is_sent(terminal: Terminal) -> None:
    terminal.server.on("POST", "/v1/admin/backends/hpc/drain", examples.BACKEND_DRAINED)
    assert terminal.run("backends", "drain", "hpc", "--message", "new disks").code == 0
    assert json.loads(terminal.server.requests[-1].content) == {"message": "new disks"}


def _candidate(name: str, **more: Any) -> dict[str, Any]:
    return {"backend": name, "fits": True, "ready": True, "reason": "it has the most free cores", **more}


def _placed(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    known = {"backend": "local", "start": "now", "why": "it goes to local", "order": "emptiest"}
    return {**known, "candidates": list(candidates), **more}


def test_a_dry_run_says_where_and_why_not_elsewhere(terminal: Terminal) -> None:
    other = _candidate("hpc", fits=False, ready=False, field="resources.walltime", reason="2 h asked", cost=1.5)
    answer = _placed(_candidate("local", chosen=True), other, patience=600)
    terminal.server.on("POST", "/v1/jobs", answer, answer)
    shown = terminal.run("submit", "--need", "site=basement", "--need", "privacy=patients", "--dry-run", "--", "true")
    assert shown.code == 0
    assert "now: it goes to local" in shown.out
    assert "resources.walltime: 2 h asked" in shown.out
    assert "10m" in shown.out
    request = terminal.server.requests[-1]
    assert request.url.params["dry_run"] == "true"
    assert json.loads(request.content)["placement"] == {"sites": ["basement"], "labels": {"privacy": "patients"}}
    said = terminal.run("submit", "--dry-run", "--json", "--", "true").json()
    assert said["spec"] == {"argv": ["true"]}
    assert [one["backend"] for one in said["placement"]["candidates"]] == ["local", "hpc"]


def test_what_no_backend_can_hold_is_a_usage_error_as_a_submit_is(terminal: Terminal) -> None:
    never = _placed(backend=None, start="never", why="no backend can hold it")
    terminal.server.on("POST", "/v1/jobs", never)
    assert terminal.run("submit", "--dry-run", "--", "true").code == 2
    terminal.server.on("POST", "/v1/jobs", problem(422, "invalid", "inputs.0.source: is not there"))
    assert terminal.run("submit", "--dry-run", "--", "true").code == 2


def test_a_batch_is_only_looked_at(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text("jobs:\n  - {key: a, argv: ['true']}\n")
    shown = terminal.run("submit", "-f", str(file), "--dry-run")
    assert (shown.code, terminal.server.requests) == (0, [])


def test_what_a_check_is_told_must_make_sense(terminal: Terminal) -> None:
    assert terminal.run("backends", "check", "hpc", "--options", "{").code == 2
    assert terminal.run("backends", "check", "hpc", "--options", "[]").code == 2


def test_a_backend_that_refuses_everything_breaks_its_promises(terminal: Terminal) -> None:
    server = terminal.server
    server.on("GET", "/v1/backends/hpc", {**examples.BACKEND, "backend": "hpc", "state": "down", "detail": "gone"})
    server.on("POST", "/v1/jobs", *[problem(422, "invalid", "no such partition")] * 9)
    server.on("DELETE", "/v1/files/shunter-check", httpx.Response(204))
    ended = terminal.run("backends", "check", "hpc", "--json", "--keep")
    assert ended.code == 1
    outcomes = {one["promise"]: (one["outcome"], one["detail"]) for one in ended.json()["promises"]}
    assert outcomes["answers"] == ("broken", "gone")
    assert outcomes["run"] == ("broken", "no such partition")
    assert outcomes["gpu"][0] == "skipped"
