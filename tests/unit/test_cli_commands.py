"""The shape of the command line: its commands, its help, its speed, its exit codes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import typer.main
from typer.core import TyperGroup

from shunter.cli import app
from tests.support.rest import JOB_ID, FakeServer, job, problem
from tests.support.terminal import Terminal

COMMANDS = [
    *("up", "down", "service", "gateway", "backup", "restore"),
    *("submit", "ps", "show", "history", "tasks", "logs", "wait", "cancel", "start", "retry", "rm"),
    *("hold", "release", "explain"),
    *("mail", "mail show", "mail on", "mail off"),
    *("batch", "batch list", "batch show", "batch cancel"),
    *("schedule", "schedule create", "schedule list", "schedule show", "schedule pause", "schedule resume"),
    *("schedule trigger", "schedule rm"),
    *("subscriptions", "subscriptions ls", "subscriptions add", "subscriptions rm", "subscriptions pause"),
    *("subscriptions resume", "subscriptions test", "deliveries", "deliveries ls", "deliveries redeliver"),
    *("files", "files ls", "files put", "files get", "files form", "files zip", "files rm"),
    *("files mkdir", "files mv", "files versions", "files trash", "files restore", "files empty-trash"),
    *("files usage", "files limits", "files limit", "files unlimit"),
    *("share", "unshare", "shares"),
    *("usage", "audit", "audit tail", "audit replay", "audit export"),
    *("backends", "backends show", "backends check", "backends drain", "backends resume"),
    *("login", "logout", "apps", "whoami", "doctor", "version", "worker", "worker pull"),
    *("parked", "parked list", "parked show", "parked resend", "parked drop"),
    *("token", "token mint", "token narrow", "token list", "token revoke", "token inspect", "token keys"),
    *("keys", "keys make", "keys list", "keys rm"),
    *("users", "users list", "users show", "users set", "users disable", "users enable", "users password"),
    *("projects", "projects list", "projects set", "projects rm", "projects members", "projects add"),
    "projects remove",
]

GROUPS = {"files", "audit", "parked", "schedule", "batch", "token", "keys", "users", "projects"}
GROUPS |= {"subscriptions", "deliveries", "mail", "worker"}

WITHOUT_JSON = {"down", "service", "gateway"}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(FakeServer(), tmp_path)


def _commands() -> Iterator[tuple[str, object]]:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        yield name, command
        if isinstance(command, TyperGroup):
            yield from ((f"{name} {inner}", each) for inner, each in command.commands.items())


def test_these_are_the_commands() -> None:
    assert sorted(name for name, _ in _commands()) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches_with_an_example(terminal: Terminal, name: str) -> None:
    shown = terminal.run(*name.split(), "--help")
    assert shown.code == 0
    if name in GROUPS:
        return
    assert "Example: shunter" in shown.out
    assert ("--json" in shown.out) == (name not in WITHOUT_JSON)


def test_help_is_quick_because_it_loads_nothing_heavy() -> None:
    heavy = ("httpx", "pydantic", "yaml", "contracts", "deploy", "services")
    code = f"import sys, shunter.cli; print([name for name in {heavy} if name in sys.modules])"
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - begun < 5, "something slow is loaded"


def test_a_mistyped_command_is_a_usage_error_with_a_suggestion(terminal: Terminal) -> None:
    ended = terminal.run("sumbit")
    assert ended.code == 2
    assert "submit" in ended.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(422, "invalid", "so not"), 2),
        (problem(409, "conflict", "so not"), 2),
        (problem(401, "unauthenticated", "so not"), 3),
        (problem(403, "forbidden", "so not"), 3),
        (problem(403, "over_quota", "so not"), 3),
        (problem(404, "not_found", "so not"), 4),
        (problem(500, "internal", "so not"), 5),
        (problem(503, "unavailable", "so not"), 5),
        (httpx.ConnectError("so not"), 5),
        (httpx.ReadTimeout("so not"), 5),
    ],
)
def test_exit_codes_say_what_went_wrong(terminal: Terminal, answer: httpx.Response | Exception, code: int) -> None:
    terminal.server.on("GET", f"/v1/jobs/{JOB_ID}", answer)
    ended = terminal.run("show", "--json", JOB_ID)
    assert ended.code == code
    assert "so not" in ended.err
    assert ended.out == ""


def test_fields_that_are_wrong_are_named(terminal: Terminal) -> None:
    errors = [{"field": "resources.cpus", "message": "no backend has so many"}]
    terminal.server.on("POST", "/v1/jobs", problem(422, "invalid", "it cannot run", errors=errors))
    ended = terminal.run("submit", "--cpus", "4096", "--", "true")
    assert ended.code == 2
    assert "resources.cpus: no backend has so many" in ended.err


def interrupt(_request: httpx.Request) -> httpx.Response:
    raise KeyboardInterrupt


def test_ctrl_c_ends_with_130_and_says_that_the_job_goes_on(terminal: Terminal) -> None:
    terminal.server.on("GET", f"/v1/jobs/{JOB_ID}", interrupt)
    ended = terminal.run("wait", JOB_ID)
    assert ended.code == 130
    assert f"shunter cancel {JOB_ID}" in ended.err


def test_a_local_file_that_is_missing_is_a_usage_error(terminal: Terminal) -> None:
    assert terminal.run("files", "put", "/nowhere/x").code == 2
    ended = terminal.run("submit", "-f", "/nowhere/spec.yaml")
    assert ended.code == 2
    assert "/nowhere/spec.yaml: No such file" in ended.err


def test_a_token_comes_from_a_file(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    terminal.server.on("GET", "/v1/whoami", {"subject": "ada"})
    assert terminal.run("--token-file", str(tmp_path / "token"), "whoami").code == 0
    assert terminal.server.requests[0].headers["authorization"] == "Bearer s3cret"


PARKED = {
    "sequence": 7,
    "parked_at": "2026-11-20T10:00:00Z",
    "service": "scheduler",
    "subject": "commands.scheduler.workload.cancel.x",
    "message_id": "m",
    "size": 1,
}

READERS: dict[str, Callable[[FakeServer], FakeServer]] = {
    "ps": lambda server: server.on("GET", "/v1/jobs", {"items": [job()]}),
    f"show {JOB_ID}": lambda server: server.on("GET", f"/v1/jobs/{JOB_ID}", job()).on(
        "GET", f"/v1/jobs/{JOB_ID}/history", {"workload_id": JOB_ID, "transitions": []}
    ),
    f"history {JOB_ID}": lambda server: server.on(
        "GET", f"/v1/jobs/{JOB_ID}/history", {"workload_id": JOB_ID, "transitions": []}
    ),
    f"wait {JOB_ID}": lambda server: server.on("GET", f"/v1/jobs/{JOB_ID}", job()),
    f"cancel {JOB_ID}": lambda server: server.on("POST", f"/v1/jobs/{JOB_ID}/cancel", job()),
    f"start {JOB_ID}": lambda server: server.on("POST", f"/v1/jobs/{JOB_ID}/start", job()),
    f"retry {JOB_ID}": lambda server: server.on("POST", f"/v1/jobs/{JOB_ID}/retry", job()),
    "files ls": lambda server: server.on("GET", "/v1/files", {"items": [], "folders": []}),
    "files rm x": lambda server: server.on("DELETE", "/v1/files/x", httpx.Response(204)),
    "usage": lambda server: server.on("GET", "/v1/usage", {"rows": [], "total": {}}),
    "backends": lambda server: server.on("GET", "/v1/backends", {"items": []}),
    "apps": lambda server: server.on("GET", "/v1/applications", {"applications": {}}),
    "whoami": lambda server: server.on("GET", "/v1/whoami", {"subject": "ada"}),
    "version": lambda server: server.on("GET", "/readyz", {"version": "1"}),
    "doctor": lambda server: server.on("GET", "/readyz", httpx.ConnectError("refused")),
    "parked list": lambda server: server.on("GET", "/v1/admin/parked", {"items": []}),
    "parked show 7": lambda server: server.on("GET", "/v1/admin/parked/7", PARKED),
    "parked resend 7": lambda server: server.on("POST", "/v1/admin/parked/7/resend", {"sequences": [7]}),
    "parked resend --all": lambda server: server.on("POST", "/v1/admin/parked/resend", {"sequences": []}),
    "parked drop 7": lambda server: server.on("DELETE", "/v1/admin/parked/7", {"sequences": [7]}),
}


@pytest.mark.parametrize("words", READERS)
def test_json_is_all_that_is_on_stdout(terminal: Terminal, words: str) -> None:
    READERS[words](terminal.server)
    ended = terminal.run(*words.split(), "--json")
    assert ended.code == (5 if words == "doctor" else 0), ended.err
    assert isinstance(ended.json(), dict)
