"""What psik's document promises, on a real stack: each defect of the original that a client could meet is a test."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from services.gateway.dialects.psik.names import native_id
from tests.support.psik import ENDED, JOBID, run_psik_port, until
from tests.support.stack import Stack


class Psik:
    """One user of one release."""

    def __init__(self, stack: Stack, user: str, version: int = 1) -> None:
        headers = {"Authorization": f"Bearer {stack.tokens[user]}"}
        base = f"{stack.url}/psik/v{version}"
        self.http = httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60)

    def submit(self, script: str, path: str = "/jobs", **spec: Any) -> str:
        made = self.http.post(path, json={"script": script, **spec})
        assert made.status_code == 200, made.text
        jobid: str = made.json()
        return jobid

    def state(self, jobid: str) -> str:
        answer = self.http.get(f"/jobs/{jobid}/state")
        assert answer.status_code == 200, answer.text
        found: str = answer.json()
        return found

    def ended(self, jobid: str) -> str:
        return str(until(lambda: self.state(jobid), lambda state: state in ENDED, 60))

    def logs(self, jobid: str) -> dict[str, str]:
        found: dict[str, str] = self.http.get(f"/jobs/{jobid}/logs").raise_for_status().json()
        return found

    def steps(self, jobid: str) -> list[tuple[int, str]]:
        found = self.http.get(f"/jobs/{jobid}").raise_for_status().json()
        return [(step["jobndx"], step["state"]) for step in found]


@pytest.fixture(scope="module")
def ada(stack: Stack) -> Psik:
    return Psik(stack, "owner")


@pytest.fixture(scope="module")
def bob(stack: Stack) -> Psik:
    return Psik(stack, "other")


# --- jobs ---------------------------------------------------------------------------------------------------------


def test_no_step_is_lost_however_hard_a_job_is_polled(ada: Psik) -> None:
    jobs = [ada.submit("true") for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ada.ended, jobs)) == ["completed"] * 12
    for jobid in jobs:
        assert ada.steps(jobid) == [(0, "new"), (1, "queued"), (1, "active"), (1, "completed")]


def test_names_are_unique_however_many_ask_at_once_and_wherever(ada: Psik, stack: Stack) -> None:
    with run_psik_port(stack, local=False) as second, ThreadPoolExecutor(16) as pool:
        second.headers.update(ada.http.headers)

        def make(number: int) -> str:
            client, path = (ada.http, "/jobs/new") if number % 2 else (second, "/v1/jobs/new")
            made = client.post(path, json={"script": "true", "name": str(number)})
            assert made.status_code == 200, made.text
            return str(made.json())

        names = list(pool.map(make, range(80)))
    assert len(set(names)) == 80
    assert all(JOBID.fullmatch(name) for name in names)
    known = {step["jobid"]: step["name"] for step in ada.http.get("/jobs").json()}
    assert [known[name] for name in names] == [str(number) for number in range(80)]


def test_a_list_shows_the_newest_first_and_is_cut_as_asked(ada: Psik) -> None:
    made = [ada.submit("true", "/jobs/new", name=f"listed {number}") for number in range(4)]
    listed = ada.http.get("/jobs", params={"limit": 4}).json()
    assert [step["jobid"] for step in listed] == made[::-1]
    assert listed[0].keys() == {"jobid", "name", "updated", "jobndx", "state", "info"}
    assert [step["jobid"] for step in ada.http.get("/jobs", params={"index": 1, "limit": 2}).json()] == made[2:0:-1]
    assert ada.http.get("/jobs", params={"limit": 0}).json() == []
    assert ada.http.get("/jobs", params={"index": -3, "limit": 1}).json() == listed[:1]
    new = ada.http.get("/jobs/", params={"state": "new", "backend": "default"}).json()
    assert {step["state"] for step in new} == {"new"}
    assert ada.http.get("/jobs", params={"state": "nowhere"}).status_code == 422
    assert ada.http.get("/jobs", params={"limit": -1}).status_code == 422


def test_what_is_somebody_elses_does_not_exist(ada: Psik, bob: Psik) -> None:
    jobid = ada.submit("sleep 60", name="hers")
    path = f"/jobs/{jobid}"
    for method, place in (
        *(("GET", f"{path}{end}") for end in ("", "/state", "/logs", "/scripts", "/files", "/files/data.txt")),
        *(("POST", f"{path}/start"), ("DELETE", path)),
    ):
        assert bob.http.request(method, place).status_code == 404, f"{method} {place}"
    assert bob.http.put(f"{path}/files/x", content=b"x").status_code == 404
    assert bob.http.post(f"{path}/files", files={"files": b"x"}).status_code == 404
    report = {"jobid": jobid, "jobndx": 1, "state": "failed"}
    assert bob.http.post("/jobs/callback", json=report).status_code == 404
    assert jobid not in {step["jobid"] for step in bob.http.get("/jobs").json()}
    assert ada.state(jobid) in {"queued", "active"}
    assert ada.http.delete(path).json() is None
    assert ada.ended(jobid) == "canceled"


def test_nobody_known_gets_nothing(stack: Stack, ada: Psik) -> None:
    jobid = ada.submit("true", "/jobs/new")
    for version in (1, 2):
        with httpx.Client(base_url=f"{stack.url}/psik/v{version}", trust_env=False) as nobody:
            for place in ("/jobs", f"/jobs/{jobid}", "/backends", "/token"):
                refused = nobody.get(place)
                assert (refused.status_code, list(refused.json())) == (401, ["detail"])
            assert nobody.post("/jobs", json={"script": "true"}).status_code == 401
            assert nobody.post("/token").status_code == 401


def test_a_canceled_job_leaves_no_process_behind(ada: Psik) -> None:
    jobid = ada.submit("sleep 300 & echo $! $$; wait")
    printed = until(lambda: ada.logs(jobid).get("stdout.1", ""), lambda text: "\n" in str(text))
    pids = [int(word) for word in str(printed).split()]
    assert all(psutil.pid_exists(pid) for pid in pids)
    assert ada.http.delete(f"/jobs/{jobid}").status_code == 200
    assert ada.ended(jobid) == "canceled"
    until(lambda: any(psutil.pid_exists(pid) for pid in pids), lambda alive: not alive, 15)
    assert ada.steps(jobid)[-1] == (0, "canceled")


def test_a_cancel_does_not_rewrite_what_has_ended(ada: Psik) -> None:
    jobid = ada.submit("exit 3")
    assert ada.ended(jobid) == "failed"
    assert ada.http.delete(f"/jobs/{jobid}").status_code == 200
    assert ada.state(jobid) == "failed"
    assert ada.http.get(f"/jobs/{jobid}").json()[-1]["info"] == 3


def test_environment_and_duration_are_honoured(ada: Psik, stack: Stack) -> None:
    script = 'echo "$GREETING ${HOME-no home} $nodes:$mpirun:$jobndx:$jobid"; test "$base/work" = "$PWD" && echo base'
    asked: dict[str, Any] = {"resources": {"duration": 2}, "environment": {"GREETING": "hello"}}
    bare = ada.submit(script, **asked, inherit_environment=False)
    rich = ada.submit(script, **asked)
    for jobid in (bare, rich):
        assert ada.ended(jobid) == "completed"
    assert ada.logs(bare)["stdout.1"] == f"hello no home 1::1:{bare}\nbase\n"
    assert "no home" not in ada.logs(rich)["stdout.1"]
    native = stack.client("owner").get(f"/v1/jobs/{native_id(bare, 1)}").raise_for_status().json()
    assert native["spec"]["resources"]["walltime"] == 120


def test_output_that_is_no_text_harms_no_log(ada: Psik) -> None:
    jobid = ada.submit(r"printf 'a\377\000b'; printf '\303\251' >&2")
    assert ada.ended(jobid) == "completed"
    found = ada.logs(jobid)
    assert (found["stdout.1"], found["stderr.1"]) == ("a\\xff\x00b", "é")


@pytest.mark.parametrize(
    "resources",
    [
        {"process_count": -1},
        {"duration": 0},
        {"gpu_cores_per_process": -1},
        {"process_count": 2, "node_count": 1, "processes_per_node": 2},
    ],
    ids=str,
)
def test_resources_that_cannot_be_are_refused(ada: Psik, resources: dict[str, int]) -> None:
    refused = ada.http.post("/jobs", json={"script": "true", "resources": resources})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"][:2] == ["body", "resources"]


def test_both_releases_name_their_backends_as_they_do(ada: Psik, stack: Stack) -> None:
    new = Psik(stack, "owner", 2)
    held = {"backend": {"type": "slurm", "queue_name": "debug", "unknown": 1}, "unknown": 1}
    assert ada.state(ada.submit("true", "/jobs/new", **held)) == "new"
    assert new.state(new.submit("true", "/jobs?submit=false", backend="local", attributes={"--x": "y"})) == "new"
    assert new.http.post("/jobs", json={"script": "true", "unknown": 1}).status_code == 422
    for client, path, backend in (
        (ada, "/jobs?backend=nowhere", {}),
        (ada, "/jobs/new?machine=nowhere", {}),
        (new, "/jobs", {"backend": "nowhere"}),
    ):
        refused = client.http.post(path, json={"script": "true", **backend})
        assert (refused.status_code, refused.json()) == (404, {"detail": "Backend not found"})
    assert ada.http.get("/jobs?backend=nowhere").status_code == 404
    assert new.http.get("/jobs?backend=nowhere").json() == []
    statuses = ada.http.get("/backends/").json()
    assert statuses["default"]["status"] == "active"
    assert ada.http.get("/backends/local").json()["name"] == "local"
    assert ada.http.get("/backends/nowhere").json() == {"detail": "Item not found"}


@pytest.mark.parametrize(
    ("jobid", "status", "detail"),
    [("nonsense", 400, "Invalid jobid"), ("1.2.3", 400, "Invalid jobid"), ("1693992878.203", 404, "Job not found")],
)
def test_a_job_that_never_was(ada: Psik, jobid: str, status: int, detail: str) -> None:
    for method, end in (("GET", ""), ("GET", "/state"), ("POST", "/start"), ("GET", "/logs"), ("DELETE", "")):
        refused = ada.http.request(method, f"/jobs/{jobid}{end}")
        assert (refused.status_code, refused.json()) == (status, {"detail": detail})


@pytest.mark.parametrize("body", [b'{"script": "true"', b'{"script": "a", "script": "b"}', b"[", b"\xff", b"null", b""])
def test_a_body_that_is_no_job_is_refused_clearly(ada: Psik, body: bytes) -> None:
    refused = ada.http.post("/jobs", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 422
    assert {"type", "loc", "msg"} <= refused.json()["detail"][0].keys()
    assert ada.http.post("/jobs", content=b'{"script": "true"}').status_code == 422


# --- files and runs -----------------------------------------------------------------------------------------------


def test_each_run_begins_with_what_the_last_one_left_and_what_came_since(ada: Psik) -> None:
    jobid = ada.submit("echo $jobndx >>runs; rm -f gone; mkdir -p deep; cat data.txt >deep/copy", "/jobs/new")
    files = f"/jobs/{jobid}/files"
    assert ada.http.put(f"{files}/data.txt", content=b"one\n").json() is None
    assert ada.http.post(f"{files}/gone", content=b"").json() is None
    assert set(ada.http.get(files).json()) == {"data.txt", "gone"}
    ada.http.post(f"/jobs/{jobid}/start").raise_for_status()
    assert ada.ended(jobid) == "completed"
    assert set(ada.http.get(files).json()) == {"data.txt", "runs", "deep"}

    later = [("files", ("data.txt", b"two\n")), ("files", ("more/x.bin", b"\x00\xff"))]
    assert ada.http.post(f"{files}/", files=later).json() is None
    assert ada.http.get(f"{files}/data.txt").content == b"two\n"
    ada.http.post(f"/jobs/{jobid}/start").raise_for_status()
    assert ada.ended(jobid) == "completed"
    assert ada.http.get(f"{files}/runs").content == b"1\n2\n"
    assert ada.http.get(f"{files}/deep/copy").content == b"two\n"
    assert ada.http.get(f"{files}/more/x.bin").content == b"\x00\xff"
    assert list(ada.http.get(f"{files}/more").json()) == ["x.bin"]
    assert [ndx for ndx, state in ada.steps(jobid) if state == "completed"] == [1, 2]
    assert {"stdout.1", "stdout.2"} <= ada.logs(jobid).keys()


def test_files_are_shown_as_each_release_shows_them(ada: Psik, stack: Stack) -> None:
    jobid = ada.submit("true", "/jobs/new")
    for path in ("a", "d/b"):
        ada.http.put(f"/jobs/{jobid}/files/{path}", content=b"xyz").raise_for_status()
    old = ada.http.get(f"/jobs/{jobid}/files").json()
    new = Psik(stack, "owner", 2).http.get(f"/jobs/{jobid}/files").json()
    assert {name: set(stat) for name, stat in old.items()} == {name: {"size", "atime", "mtime"} for name in ("a", "d")}
    assert {name: stat["children"] for name, stat in new.items()} == {"a": False, "d": True}
    found = ada.http.get(f"/jobs/{jobid}/files/a")
    assert found.headers["content-type"] == "application/octet-stream"
    assert "attachment" in found.headers["content-disposition"]
    assert found.headers["etag"]


@pytest.mark.parametrize("name", ["../../evil.txt", "/etc/passwd", "a/../../b", "a\\b"])
def test_nothing_is_written_outside_of_a_job(ada: Psik, name: str) -> None:
    jobid = ada.submit("true", "/jobs/new")
    refused = ada.http.post(f"/jobs/{jobid}/files", files={"files": (name, b"x")})
    assert (refused.status_code, refused.json()) == (403, {"detail": "invalid path"})
    assert ada.http.get(f"/jobs/{jobid}/files").json() == {}


def test_an_upload_that_is_none_is_refused(ada: Psik) -> None:
    jobid = ada.submit("true", "/jobs/new")
    files = f"/jobs/{jobid}/files"
    for refused in (ada.http.post(files, content=b"raw"), ada.http.post(files, files={"other": b"x"})):
        assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "files"])
    ada.http.put(f"{files}/a", content=b"x").raise_for_status()
    assert ada.http.put(f"{files}/a/b", content=b"x").status_code == 404
    assert ada.http.get(f"{files}/b").json() == {"detail": "file b not found"}


def test_a_body_of_unknown_length_becomes_a_file_too(ada: Psik) -> None:
    jobid = ada.submit("true", "/jobs/new")

    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * 100_000
            time.sleep(0.01)

    ada.http.put(f"/jobs/{jobid}/files/long", content=pieces()).raise_for_status()
    assert ada.http.get(f"/jobs/{jobid}/files").json()["long"]["size"] == 300_000


# --- callbacks ----------------------------------------------------------------------------------------------------


def test_a_report_is_believed_with_the_true_secret_only(ada: Psik, stack: Stack) -> None:
    jobid = ada.submit("true", client_secret="s3cret")
    ada.ended(jobid)
    body = json.dumps({"jobid": jobid, "jobndx": 1, "state": "completed", "info": 0}).encode()

    def report(secret: str | None, raw: bytes = body) -> httpx.Response:
        signed = hmac.new((secret or "").encode(), raw, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json"} | (
            {"x-hub-signature-256": f"sha256={signed}"} if secret is not None else {}
        )
        return ada.http.post("/jobs/callback", content=raw, headers=headers)

    assert report("s3cret").json() == "OK"
    assert [report(secret).status_code for secret in (None, "", "**********", "wrong")] == [403] * 4
    assert report("s3cret", body.replace(b"completed", b"failed")).json() == "ERROR"
    assert ada.state(jobid) == "completed"
    native = stack.client("owner").get(f"/v1/jobs/{native_id(jobid, 1)}").text
    assert "s3cret" not in native
