"""Files, figures and events from the command line."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.rest import JOB_ID, FakeServer, Stream, problem
from tests.support.terminal import Terminal

DATA = b"0123456789"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(FakeServer(), tmp_path)


def record(path: str) -> dict[str, Any]:
    return {"path": path, "owner": "ada", "size": 10, "sha256": SHA, "created_at": "2026-11-20T10:00:00Z"}


@pytest.mark.parametrize(
    ("remote", "place"), [([], "x.bin"), (["data/"], "data/x.bin"), (["data/y"], "data/y")], ids=str
)
def test_a_file_is_put_where_it_should_be(terminal: Terminal, tmp_path: Path, remote: list[str], place: str) -> None:
    (tmp_path / "x.bin").write_bytes(DATA)
    ended = terminal.run("files", "put", str(tmp_path / "x.bin"), *remote)
    assert ended.code == 0
    assert SHA in ended.out
    assert f'"{place}"'.encode() in terminal.server.requests[0].content
    assert terminal.server.store.content == DATA


def test_a_folder_needs_to_be_asked_for(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.run("files", "put", str(tmp_path)).code == 2


def test_a_folder_is_put_with_all_that_is_in_it(terminal: Terminal, tmp_path: Path) -> None:
    for name in ("a", "deep/b"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(DATA)
    ended = terminal.run("files", "put", "-r", "--json", str(tmp_path / "set"))
    assert len(ended.json()["items"]) == 2
    asked = [request.content for request in terminal.server.requests if request.url.path == "/v1/uploads"]
    assert b'"set/a"' in asked[0]
    assert b'"set/deep/b"' in asked[1]


def test_ls_of_a_folder_shows_what_is_in_it(terminal: Terminal) -> None:
    folder = {"items": [], "folders": [{"path": "data/"}]}
    terminal.server.on("GET", "/v1/files", folder, {"items": [record("data/x")], "folders": []})
    ended = terminal.run("files", "ls", "data")
    assert SHA in ended.out
    assert [request.url.params["prefix"] for request in terminal.server.requests] == ["data", "data/"]
    assert terminal.server.requests[0].url.params["recursive"] == "false"


def test_a_file_is_fetched_into_a_folder(terminal: Terminal, tmp_path: Path) -> None:
    terminal.server.store.content = DATA
    ended = terminal.run("files", "get", "data/x.bin", str(tmp_path))
    assert (tmp_path / "x.bin").read_bytes() == DATA
    assert ended.out.startswith(SHA)


def test_what_a_job_left_is_fetched_with_its_folders(terminal: Terminal, tmp_path: Path) -> None:
    terminal.server.store.content = DATA
    items = [{"path": path, "size": 10, "sha256": SHA} for path in ("outputs/a/m", "logs/1/stdout")]
    path = f"/v1/jobs/{JOB_ID}/files"
    terminal.server.on("GET", path, {"items": items}).on("GET", f"{path}/outputs/a/m", terminal.server.store.url())
    ended = terminal.run("files", "get", "-r", "--job", JOB_ID, "outputs", str(tmp_path / "home"), "--json")
    assert ended.json()["items"] == [{"path": str(tmp_path / "home" / "a" / "m"), "size": 10, "sha256": SHA}]
    assert (tmp_path / "home" / "a" / "m").read_bytes() == DATA
    assert terminal.server.requests[-1].url.params["presign"] == "true"


def test_a_server_cannot_write_outside_of_the_folder(terminal: Terminal, tmp_path: Path) -> None:
    terminal.server.store.content = DATA
    terminal.server.on("GET", "/v1/files", {"items": [record("data/../../evil")]})
    assert terminal.run("files", "get", "-r", "data", str(tmp_path / "home")).code == 5
    assert not (tmp_path / "evil").exists()


def test_nothing_below_a_folder_is_not_found(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/files", {"items": []})
    assert terminal.run("files", "get", "-r", "nothing").code == 4


def test_a_removal_that_waits_for_storage_says_so(terminal: Terminal) -> None:
    terminal.server.on("DELETE", "/v1/files/x", httpx.Response(202))
    assert "will be removed" in terminal.run("files", "rm", "x").out


def figures(**changes: Any) -> dict[str, Any]:
    return {"segments": 3, "wall_hours": 1.5, "cpu_hours": 3.0, "memory_peak": 2**30, **changes}


def summary(**changes: Any) -> dict[str, Any]:
    rows = [{"owner": "ada", "project": "p", "day": "2026-11-20", "figures": figures()}]
    return {"rows": rows, "total": figures(**changes), "open_segments": 2}


def test_usage_is_a_table_with_a_total(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/usage", summary())
    ended = terminal.run("usage", "--since", "2026-11-01")
    lines = ended.out.splitlines()
    assert lines[0].split()[:4] == ["OWNER", "PROJECT", "DAY", "ATTEMPTS"]
    assert lines[1].split()[:6] == ["ada", "p", "2026-11-20", "3", "1.500000", "3.000000"]
    assert lines[2].split()[0] == "total"
    assert "2 attempts hold room now" in ended.err
    params = terminal.server.requests[0].url.params
    assert params.get_list("group_by") == ["owner", "project", "day"]
    assert params["since"] == "2026-11-01T00:00:00+00:00"


@pytest.mark.parametrize(("equal", "word", "code"), [(True, "EQUAL", 0), (False, "DIFFERENT", 1)])
def test_a_replay_shows_both_totals_and_the_verdict(terminal: Terminal, equal: bool, word: str, code: int) -> None:
    report = {
        "equal": equal,
        "events": 9,
        "last_sequence": 12,
        "seconds": 0.1,
        "live": summary(),
        "replayed": summary(cpu_hours=3.0 if equal else 2.0),
        "differences": [] if equal else ["ada p: cpu_hours 3.0 and 2.0"],
        "started_at": "2026-11-20T10:00:00Z",
    }
    terminal.server.on("POST", "/v1/audit/replay", report)
    ended = terminal.run("audit", "replay")
    assert ended.code == code
    assert ended.out.splitlines()[-1].startswith(word)
    assert ("2.000000" in ended.out) == (not equal)
    assert terminal.run("audit", "replay", "--json").code == code


def event(number: int) -> dict[str, Any]:
    envelope = {
        "id": f"e{number}",
        "source": "/services/scheduler",
        "type": "org.shunter.workload.moved.v1",
        "subject": JOB_ID,
        "time": "2026-11-20T10:00:00Z",
        "actor": "user:ada",
        "correlationid": "c",
        "traceparent": "t",
        "data": {"old": "queued", "new": "running", "attempt": 1, "message": ""},
    }
    return {"sequence": number, "event": envelope}


def serve_events(server: FakeServer, last: int) -> None:
    """Serve two events per page, as a gateway does."""

    def page(request: httpx.Request) -> httpx.Response:
        since = max(1, int(request.url.params.get("since_sequence", 1)))
        numbers = list(range(since, last + 1))[:2]
        following = numbers[-1] + 1 if numbers else last + 1
        return httpx.Response(200, json={"items": [event(number) for number in numbers], "next_sequence": following})

    server.on("GET", "/v1/events", page)


def test_the_last_events_are_shown(terminal: Terminal) -> None:
    serve_events(terminal.server, 5)
    ended = terminal.run("audit", "tail", "-n", "2")
    assert [line.split()[0] for line in ended.out.splitlines()] == ["4", "5"]
    assert "workload.moved.v1" in ended.out
    assert "old=queued new=running attempt=1" in ended.out
    assert [found["sequence"] for found in terminal.run("audit", "tail", "--json").lines()] == [1, 2, 3, 4, 5]


def test_an_export_goes_on_where_it_ended(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    serve_events(terminal.server, 3)
    first = terminal.run("audit", "export", str(file), "--json").json()
    assert (first["events"], first["last_sequence"]) == (3, 3)
    assert first["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    with file.open("ab") as cut:
        cut.write(b'{"sequence": 4, "ev')  # the machine went down in the middle of a line
    serve_events(terminal.server, 6)
    second = terminal.run("audit", "export", str(file), "--json").json()
    assert (second["events"], second["last_sequence"]) == (6, 6)
    whole = tmp_path / "whole.jsonl"
    assert terminal.run("audit", "export", str(whole), "--json").json()["sha256"] == second["sha256"]


def test_an_export_does_not_touch_a_file_of_something_else(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("It was a dark and stormy night.\n")
    assert terminal.run("audit", "export", str(tmp_path / "thesis.txt")).code == 2
    assert (tmp_path / "thesis.txt").read_text() == "It was a dark and stormy night.\n"


READY = {"ready": True, "checks": {"nats": "ok", "scheduler": "ok"}}


def test_a_healthy_way_to_the_server_is_said_to_be(terminal: Terminal) -> None:
    terminal.server.on("GET", "/readyz", READY).on("GET", "/v1/whoami", {"subject": "ada"})
    ended = terminal.run("doctor")
    assert ended.code == 0, ended.out
    assert "you are ada" in ended.out
    assert "agree" in ended.out
    assert any(path.startswith("DELETE /v1/files/shunter-doctor/") for path in terminal.server.paths())


def test_the_doctor_shows_an_admin_what_is_wrong_with_the_site(terminal: Terminal, tmp_path: Path) -> None:
    finding = {"code": "disk-full", "severity": "critical", "part": "disk", "what": "full", "remedy": "make room"}
    site = {"status": "failing", "at": "2026-11-20T10:00:00Z", "seconds": 0.1, "findings": [finding], "probes": {}}
    terminal.server.on("GET", "/readyz", {"checks": {}}).on("GET", "/v1/whoami", {"subject": "ada"})
    terminal.server.on("GET", "/v1/admin/health", site)
    ended = terminal.run("doctor", "--json")
    assert ended.code == 5
    (found,) = [one for one in ended.json()["findings"] if one["check"] == "disk-full"]
    assert (found["ok"], found["severity"], found["advice"]) == (False, "critical", "make room")


def test_the_doctor_says_what_to_do(terminal: Terminal) -> None:
    sick = httpx.Response(
        503,
        json={"ready": False, "checks": {"nats": "ok", "scheduler": "database: locked"}},
        headers={"date": "Fri, 20 Nov 2015 10:00:00 GMT"},
    )
    terminal.server.on("GET", "/readyz", sick).on("GET", "/v1/whoami", problem(401, "unauthenticated", "who?"))
    ended = terminal.run("doctor")
    assert ended.code == 5
    assert "database: locked" in ended.out
    assert "SHUNTER_TOKEN" in ended.out
    assert "NTP" in ended.out


def test_a_server_that_is_not_there_is_said_with_how_to_start_one(terminal: Terminal) -> None:
    terminal.server.on("GET", "/readyz", httpx.ConnectError("refused"))
    ended = terminal.run("doctor", "--json")
    assert ended.code == 5
    (found,) = ended.json()["findings"]
    assert "shunter up" in found["advice"]


def test_this_machine_can_run_the_stack(terminal: Terminal) -> None:
    ended = terminal.run("doctor", "--stack")
    assert "nats-server" in ended.out
    assert terminal.server.requests == []


def test_applications_say_what_they_take(terminal: Terminal) -> None:
    train = {
        "app": {"cmd": ["train"], "env": ["SEED"]},
        "handler": {"files_down": {"data_ids": "data"}, "files_up": {"artifact": "model"}},
        "aws_resources": {"hardware": {"MEMORY": 8000, "VCPU": 4, "GPU": 1}, "timeout": 18000},
    }
    bare = {"app": {"cmd": ["true"]}, "handler": {}}
    applications = {"decode": {"v1": {"train": train}}, "other": {"v1": {"run": bare}}}
    fault = {"line": 7, "field": "x", "message": "there is no such field"}
    terminal.server.on("GET", "/v1/applications", {"applications": applications, "faults": [fault]})
    shown = terminal.run("apps")
    for word in ("decode/v1/train", "data_ids", "artifact", "SEED", "4", "5h", "other/v1/run"):
        assert word in shown.out
    assert "Line 7: there is no such field" in shown.err
    assert "other/v1/run" not in terminal.run("apps", "decode").out


def test_backends_say_what_is_free(terminal: Terminal) -> None:
    local = {
        "backend": "local",
        "kind": "local",
        "healthy": True,
        "cpus": 16,
        "cpus_free": 3.5,
        "gpus": 1,
        "gpu_models": ["H200"],
    }
    terminal.server.on("GET", "/v1/backends", {"items": [local]})
    assert "3.5 of 16" in terminal.run("backends").out


def test_the_version_is_said_even_if_no_server_answers(terminal: Terminal) -> None:
    terminal.server.on("GET", "/readyz", httpx.ConnectError("refused"))
    ended = terminal.run("version")
    assert ended.code == 0
    assert "does not answer" in ended.out


def _zip(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def test_a_folder_is_fetched_as_a_zip(terminal: Terminal, tmp_path: Path) -> None:
    packed = _zip(a=DATA)
    terminal.server.on("GET", "/v1/zip/data/d1", httpx.Response(200, stream=Stream(packed[:9], packed[9:])))
    ended = terminal.run("files", "zip", "data/d1/", str(tmp_path), "--json")
    assert ended.json() == {"path": str(tmp_path / "d1.zip"), "size": len(packed)}
    assert (tmp_path / "d1.zip").read_bytes() == packed


def test_a_zip_without_its_end_takes_no_place(terminal: Terminal, tmp_path: Path) -> None:
    terminal.server.on("GET", "/v1/zip", httpx.Response(200, stream=Stream(_zip(a=DATA)[:40])))
    assert terminal.run("files", "zip", "/", str(tmp_path / "all.zip")).code != 0
    assert list(tmp_path.glob("all.zip*")) == []


FORM = {
    "url": "http://s3.example/files",
    "fields": {"key": "_forms/1/${filename}", "policy": 'a"b'},
    "folder": "data/<d1>",
    "most": 1000,
    "expires_at": "2026-11-20T10:00:00Z",
}


def test_a_form_is_shown_and_written_as_a_page(terminal: Terminal, tmp_path: Path) -> None:
    terminal.server.on("POST", "/v1/uploads/form", FORM)
    ended = terminal.run("files", "form", "data/d1", "--most", "1000", "--html", str(tmp_path / "up.html"))
    assert ended.code == 0, ended.err
    assert b'"most":1000' in terminal.server.requests[0].content
    page = (tmp_path / "up.html").read_text()
    assert 'action="http://s3.example/files"' in page
    assert 'value="a&quot;b"' in page
    assert "<d1>" not in page
    assert (tmp_path / "up.html").stat().st_mode & 0o077 == 0
    shown = terminal.run("files", "form", "data/d1").out
    assert "_forms/1/${filename}" in shown
