"""Submitting, finding, watching and ending jobs from the command line."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from shunter.commands.moments import read_moment
from tests.support.rest import JOB_ID, FakeServer, Stream, job, problem, sse
from tests.support.terminal import Terminal

JOB = f"/v1/jobs/{JOB_ID}"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    server = FakeServer().on("POST", "/v1/jobs", httpx.Response(201, json=job("accepted")))
    return Terminal(server, tmp_path)


def sent(terminal: Terminal, place: int = 0) -> Any:
    return json.loads(terminal.server.requests[place].content)


def logs(state: str = "succeeded") -> httpx.Response:
    chunks = (
        sse("log", {"attempt": 1, "stream": "stdout", "offset": 0, "text": "epoch 1\n"}, "1"),
        sse("log", {"attempt": 1, "stream": "stderr", "offset": 0, "text": "a warning\n"}, "2"),
        sse("end", {"state": state, "exit_code": 0}, "3"),
    )
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream(*chunks))


def test_an_application_and_its_arguments_become_a_spec(terminal: Terminal) -> None:
    options = (
        *("--app", "decode/v0_10_1/train", "--input", "data_ids=data/d1", "--input", "data_ids=data/d2"),
        *("--input", "config_id=config/c", "--input", "notes.txt", "--output", "artifact=artifact/first"),
        *("--output", "extra:results/x", "--env", "SEED=7", "--walltime", "1h"),
    )
    ended = terminal.run("submit", *options)
    assert ended.code == 0, ended.err
    assert sent(terminal) == {
        "application": {
            "application": "decode",
            "version": "v0_10_1",
            "entrypoint": "train",
            "inputs": {"data_ids": ["data/d1", "data/d2"], "config_id": ["config/c"]},
            "outputs": {"artifact": "artifact/first"},
            "env": {"SEED": "7"},
            "asked": ["walltime"],
        },
        "inputs": [{"source": "notes.txt"}],
        "outputs": [{"path": "extra", "to": "results/x"}],
        "resources": {"walltime": 3600.0},
    }


@pytest.mark.parametrize("app", ["decode", "decode/v1", "decode//train", "a/b/c/d"])
def test_an_application_has_three_names(terminal: Terminal, app: str) -> None:
    ended = terminal.run("submit", "--app", app)
    assert ended.code == 2
    assert "APP/VERSION/ENTRYPOINT" in ended.err


def test_a_source_that_ends_with_a_slash_is_a_folder(terminal: Terminal) -> None:
    terminal.run("submit", "--input", "data/d1/:in", "--", "true")
    assert sent(terminal)["inputs"] == [{"source": "data/d1", "path": "in", "folder": True}]


def test_a_command_line_becomes_a_spec(terminal: Terminal) -> None:
    options = (
        *("--name", "train", "--project", "p", "--cpus", "2", "--memory", "1GiB", "--gpus", "1", "--gpu-model", "a100"),
        *("--walltime", "10m", "--input", "data/x.npz", "--input", "data/y:in/y", "--output", "m.joblib"),
        *("--optional-output", "plots/*.png", "--env", "A=1=2", "--env", "B=", "--label", "sweep=3"),
        *("--priority", "-5", "--start-at", "2030-01-31T18:00:00+01:00", "--after", f"{JOB_ID}:any+5m"),
        *("--retries", "2", "--hold", "--backend", "local", "--image", "img", "--idempotency-key", "run-42"),
    )
    ended = terminal.run("submit", *options, "--", "python", "train.py", "--epochs", "3", "--wait")
    assert ended.code == 0, ended.err
    assert JOB_ID in ended.out
    assert terminal.server.requests[0].headers["idempotency-key"] == "run-42"
    assert sent(terminal) == {
        "name": "train",
        "project": "p",
        "argv": ["python", "train.py", "--epochs", "3", "--wait"],
        "image": "img",
        "env": {"A": "1=2", "B": ""},
        "inputs": [{"source": "data/x.npz"}, {"source": "data/y", "path": "in/y"}],
        "outputs": [{"path": "m.joblib"}, {"path": "plots/*.png", "required": False}],
        "resources": {"cpus": 2.0, "memory": 2**30, "gpus": {"count": 1, "model": "a100"}, "walltime": 600.0},
        "placement": {"backend": "local"},
        "retries": {"max": 2},
        "hold": True,
        "priority": -5,
        "start_at": "2030-01-31T17:00:00.000000Z",
        "after": [{"job": JOB_ID, "on": "any", "delay": 300.0}],
        "labels": {"sweep": "3"},
    }


def test_what_is_not_given_is_not_sent(terminal: Terminal) -> None:
    terminal.run("submit", "--", "true")
    assert sent(terminal) == {"argv": ["true"]}


def test_options_behind_the_program_are_the_programs(terminal: Terminal) -> None:
    terminal.run("submit", "python", "-c", "print()", "--name", "x")
    assert sent(terminal) == {"argv": ["python", "-c", "print()", "--name", "x"]}


SPECS = """\
name: first
argv: [echo, one]
resources: {cpus: 1, gpus: {count: 2}}
---
name: second
script: echo two
"""


def test_the_documents_of_a_file_are_submitted_one_after_the_other(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPECS)
    ended = terminal.run("submit", "--json", "-f", str(tmp_path / "spec.yaml"))
    assert ended.code == 0
    assert [sent(terminal, place)["name"] for place in (0, 1)] == ["first", "second"]
    assert [found["id"] for found in ended.lines()] == [JOB_ID, JOB_ID]


def test_options_override_the_file(terminal: Terminal) -> None:
    terminal.run("submit", "-f", "-", "--cpus", "4", "--gpus", "0", stdin=SPECS.split("---", maxsplit=1)[0])
    assert sent(terminal)["resources"] == {"cpus": 4.0, "gpus": {"count": 0}}


def test_json_is_a_spec_too(terminal: Terminal) -> None:
    assert terminal.run("submit", "-f", "-", stdin='{"argv": ["true"]}').code == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("argv: [x]\nnam: y", "nam"),
        ("argv: [x]\nresources: {cpu: 1}", "resources.cpu"),
        ("argv: [x]\ninputs: [{source: a}, {source: ../b}]", "inputs.1.source"),
        ("argv: [x]\nname: a\nname: b", "name: given twice (line 3)"),
        ("name: x", "argv or script"),
        ("- a", "a mapping of fields"),
        ("a: [", "is no YAML"),
        ("", "holds no spec"),
        ("!!python/object/apply:os.system [true]", "is no YAML"),
        (SPECS + "---\nargv: 3", "argv"),
    ],
)
def test_a_wrong_spec_is_refused_before_anything_is_sent(terminal: Terminal, text: str, named: str) -> None:
    ended = terminal.run("submit", "-f", "-", stdin=text)
    assert ended.code == 2
    assert named in ended.err
    assert terminal.server.requests == []


@pytest.mark.parametrize(
    "words",
    [
        ["submit"],
        ["submit", "--env", "novalue", "--", "x"],
        ["submit", "--walltime", "soon", "--", "x"],
        ["submit", "--memory", "0", "--", "x"],
        ["ps", "--state", "fine"],
        ["usage", "--by", "colour"],
    ],
)
def test_wrong_options_are_usage_errors(terminal: Terminal, words: list[str]) -> None:
    assert terminal.run(*words).code == 2
    assert terminal.server.requests == []


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("canceled", 1), ("lost", 1)])
def test_waiting_ends_as_the_job_ends(terminal: Terminal, state: str, code: int) -> None:
    terminal.server.on("GET", JOB, job("running"), job(state, exit_code=3 if state == "failed" else 0))
    assert terminal.run("submit", "--wait", "--", "true").code == code
    assert terminal.run("wait", JOB_ID).code == code


def test_following_shows_each_stream_where_it_belongs(terminal: Terminal) -> None:
    terminal.server.on("GET", f"{JOB}/logs", logs()).on("GET", JOB, job())
    ended = terminal.run("submit", "--follow", "--", "true")
    assert ended.code == 0
    assert ended.out.splitlines() == [f"{JOB_ID} accepted", "epoch 1"]
    assert "a warning" in ended.err


def test_with_json_only_the_record_is_on_stdout(terminal: Terminal) -> None:
    terminal.server.on("GET", f"{JOB}/logs", logs()).on("GET", JOB, job())
    ended = terminal.run("submit", "--follow", "--json", "--", "true")
    assert ended.json()["state"] == "succeeded"
    assert "epoch 1" in ended.err


def test_a_job_that_is_only_kept_is_followed_when_it_is_known(terminal: Terminal) -> None:
    terminal.server.on("POST", "/v1/jobs", httpx.Response(202, json={"id": JOB_ID, "status": "pending"}))
    terminal.server.on("GET", JOB, problem(404, "not_found"), job("queued"), job())
    terminal.server.on("GET", f"{JOB}/logs", logs())
    ended = terminal.run("submit", "--follow", "--", "true")
    assert ended.code == 0
    assert "epoch 1" in ended.out
    assert "The scheduler is away" in ended.err


def test_logs_are_printed_byte_by_byte(terminal: Terminal) -> None:
    terminal.server.on("GET", JOB, job(attempt=2))
    terminal.server.on("GET", f"{JOB}/logs", httpx.Response(200, content=b"\xff\r\n"))
    ended = terminal.run("logs", JOB_ID, "--stream", "stderr")
    assert ended.raw == b"\xff\r\n"
    assert dict(terminal.server.requests[-1].url.params) == {"stream": "stderr", "attempt": "2"}


def test_logs_as_json_are_one_piece_per_line(terminal: Terminal) -> None:
    terminal.server.on("GET", f"{JOB}/logs", logs())
    ended = terminal.run("logs", "-f", "--json", JOB_ID)
    assert [found["stream"] for found in ended.lines()] == ["stdout", "stderr"]


def test_ps_lists_what_goes_on_and_what_is_recent_each_once(terminal: Terminal) -> None:
    old = job("running", id="job-" + "a" * 32, name="old", created_at="2020-01-01T00:00:00Z", started_at=None)
    terminal.server.on("GET", "/v1/jobs", {"items": [old]}, {"items": [job(), old]})
    ended = terminal.run("ps")
    lines = ended.out.splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATE", "ATTEMPT", "BACKEND", "AGE", "TIME"]
    assert [line.split()[1] for line in lines[1:]] == ["train", "old"]
    going_on, recent = (request.url.params for request in terminal.server.requests)
    assert "running" in going_on.get_list("state")
    assert "succeeded" not in going_on.get_list("state")
    assert "created_after" in recent


def test_ps_of_all_asks_for_no_time(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/jobs", {"items": []})
    terminal.run("ps", "-a", "--label", "sweep=3")
    assert dict(terminal.server.requests[0].url.params) == {"label": "sweep=3", "limit": "50"}


def test_names_that_look_like_markup_are_shown_as_they_are(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/jobs", {"items": [job(name="[red]x[/nonsense]")]})
    assert "[red]x[/nonsense]" in terminal.run("ps", "-a").out


def test_last_is_the_callers_own_last_job(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/whoami", {"subject": "ada"}).on("GET", "/v1/jobs", {"items": [job()]})
    terminal.server.on("POST", f"{JOB}/cancel", job("running"))
    ended = terminal.run("cancel", "last")
    assert ended.out == f"{JOB_ID} is being cancelled\n"
    assert terminal.server.requests[1].url.params["owner"] == "ada"


def test_a_name_finds_its_job_if_it_is_the_only_one(terminal: Terminal) -> None:
    other = job(id="job-" + "b" * 32)
    terminal.server.on("GET", "/v1/jobs", {"items": [job()]}, {"items": [job(), other]}, {"items": []})
    terminal.server.on("POST", f"{JOB}/retry", httpx.Response(201, json=other))
    assert other["id"] in terminal.run("retry", "train").out
    twice = terminal.run("retry", "train")
    assert twice.code == 2
    assert JOB_ID in twice.err
    assert other["id"] in twice.err
    assert terminal.run("retry", "train").code == 4


def test_a_number_finds_its_job_and_rm_has_it_gone(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/jobs", {"items": [job(number=12)]}).on("DELETE", JOB, httpx.Response(204))
    assert terminal.run("rm", "12").out == f"{JOB_ID} is gone\n"
    assert terminal.server.requests[0].url.params["number"] == "12"


def test_show_says_all_about_a_job(terminal: Terminal) -> None:
    found = job(
        "succeeded",
        spec={"argv": ["python", "train.py"], "resources": {"cpus": 2, "memory": "1GiB", "gpus": {"count": 1}}},
        attempt=2,
        allocation={"backend": "local", "cpus": 2, "memory": 2**30, "gpus": 1, "gpu_model": "H200"},
        usage={"wall_seconds": 75, "cpu_seconds": 12.5, "memory_peak": 300 * 2**20, "gpu_seconds": 4.25},
        outputs=[{"path": "outputs/model.joblib", "size": 2048, "sha256": "c" * 64}],
    )
    moves = [
        {"revision": 1, "state": "accepted", "at": "2026-11-20T10:00:00Z", "attempt": 1, "reason": "submitted"},
        {"revision": 2, "state": "queued", "at": "2026-11-20T10:00:01.5Z", "attempt": 1, "reason": "placed"},
    ]
    terminal.server.on("GET", JOB, found).on("GET", f"{JOB}/history", {"workload_id": JOB_ID, "transitions": moves})
    shown = terminal.run("show", JOB_ID).out
    for text in (
        *("train", "succeeded", "python train.py", "2 on local", "1.5s", "submitted"),
        *("12.50 CPU s", "300.0 MiB", "1.0 GiB", "1 H200", "4.25 GPU s", "1m15s"),
        *("outputs/model.joblib", "c" * 64, "http://temporal.test/workflows/1"),
    ):
        assert text in shown, text
    assert terminal.run("show", "--json", JOB_ID).json()["history"][1]["state"] == "queued"


def test_a_job_is_held_and_released(terminal: Terminal) -> None:
    terminal.server.on("POST", f"{JOB}/hold", job("held")).on("POST", f"{JOB}/release", job("accepted"))
    assert terminal.run("hold", JOB_ID).out == f"{JOB_ID} held\n"
    assert terminal.run("hold", "--json", JOB_ID).json()["state"] == "held"
    assert terminal.run("release", JOB_ID).out == f"{JOB_ID} is released\n"
    terminal.server.on("POST", f"{JOB}/hold", httpx.Response(202, json={"id": JOB_ID, "status": "pending"}))
    assert "is being held" in terminal.run("hold", JOB_ID).out


def test_explain_says_why_and_what_comes_next(terminal: Terminal) -> None:
    found = {
        "workload_id": JOB_ID,
        "state": "accepted",
        "why": "turn",
        "message": "about 3 go before it",
        "since": "2026-11-20T10:00:00Z",
        "position": 4,
        "evidence": {"cpus_free": 0.5, "awaits": ["a", "b"]},
        "next_step": "it goes by itself",
    }
    terminal.server.on("GET", f"{JOB}/explain", found)
    shown = terminal.run("explain", JOB_ID).out
    for text in ("is accepted: about 3 go before it", "position   4", "cpus free  0.5", "a, b", "Next: it goes by"):
        assert text in shown, text
    assert terminal.run("explain", "--json", JOB_ID).json()["why"] == "turn"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("+2h", "2026-11-20T12:00:00+01:00"),
        ("18:00", "2026-11-20T18:00:00+01:00"),
        ("9:30", "2026-11-21T09:30:00+01:00"),
        ("2030-01-31T18:00", "2030-01-31T18:00:00+01:00"),
        ("2030-01-31T18:00:00Z", "2030-01-31T18:00:00+00:00"),
    ],
)
def test_a_moment_is_read_as_people_write_it(text: str, moment: str) -> None:
    zone = timezone(timedelta(hours=1))
    assert read_moment(text, datetime(2026, 11, 20, 10, tzinfo=zone)) == moment


@pytest.mark.parametrize("options", [("--start-at", "soon"), ("--start-at", "+soon"), ("--after", ":any")])
def test_a_moment_that_is_none_is_refused_before_anything_is_sent(terminal: Terminal, options: tuple[str, str]) -> None:
    assert terminal.run("submit", *options, "--", "true").code == 2
    assert not [request for request in terminal.server.requests if request.method == "POST"]


def test_what_is_waited_for_may_be_named(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/jobs", {"items": [job("running", name="train")]})
    ended = terminal.run("submit", "--after", "train", "--after", f"job-{2:032x}:failure", "--", "true")
    assert ended.code == 0, ended.err
    wishes = [{"job": JOB_ID}, {"job": f"job-{2:032x}", "on": "failure"}]
    assert sent(terminal, len(terminal.server.requests) - 1)["after"] == wishes


def test_on_is_a_field_and_no_truth_in_a_file(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(f"argv: [x]\nhold: true\nafter:\n  - {{job: {JOB_ID}, on: any}}\n")
    terminal.run("submit", "-f", str(file))
    assert sent(terminal) == {"argv": ["x"], "hold": True, "after": [{"job": JOB_ID, "on": "any"}]}


def test_history_lists_every_move(terminal: Terminal) -> None:
    move = {"revision": 1, "state": "held", "at": "2026-11-20T10:00:00Z", "attempt": 1, "reason": "held"}
    terminal.server.on(
        "GET", f"{JOB}/history", {"workload_id": JOB_ID, "transitions": [{**move, "message": "a [word]"}]}
    )
    assert "a [word]" in terminal.run("history", JOB_ID).out
