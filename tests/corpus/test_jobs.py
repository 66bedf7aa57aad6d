"""Jobs that must not be let in, keys that were used before, and jobs that are good but behave badly."""

from __future__ import annotations

import base64
import json
import threading
import unicodedata
from uuid import uuid4

import httpx
import pytest

from tests.support.hostile import Target, problem_of
from tests.support.jobs import cancel, get, logs, submit, until, until_ended

from .entry import Entry, How, load

_OUTPUT = r"""
import os, sys
out = sys.stdout.buffer
out.write(b"\xff\xfe\x80 no UTF-8\n")
out.write(b"\x1b[2J\x1b]0;title\x07 escapes\n")
out.write("\u202eturned\u2066\n".encode())
out.write(b"a\x00b\r\n")
out.write(b"x" * 10_000_000 + b"\n")
out.write(b"no newline at the end")
"""

_NAMES = r"""
mkdir out; cd out
printf good > good.txt; printf dash > -rf; printf shell > '$(id)'
ln -s loop loop; ln -s /etc/passwd passwd; mkfifo pipe
printf x > "$(printf 'new\nline')"; printf x > "$(printf '\377\376')"
"""


@pytest.mark.usefixtures("untouched")
def test_every_bad_job_is_refused_with_its_field_and_starts_nothing(target: Target) -> None:
    for entry in load(How.JOB):
        body = json.dumps(entry.value).encode()
        answer = target.ask("POST", "/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        target.check(answer, entry.name)
        assert answer.status_code in entry.status, f"{entry.name}: {answer.status_code} {answer.text[:500]}"
        assert _blames(answer, entry), f"{entry.name}: {problem_of(answer, entry.name)['errors']}"


def _blames(answer: httpx.Response, entry: Entry) -> bool:
    fields = [error["field"] for error in problem_of(answer, entry.name)["errors"]]
    return any(field == entry.place or field.startswith(f"{entry.place}.") for field in fields)


def test_a_key_is_for_one_request_however_often_and_at_once(target: Target) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    answers: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(base_url=target.stack.url, headers=target.client.headers, trust_env=False) as client:
            answers.append(client.post("/v1/jobs", json={"argv": ["true"]}, headers=key, timeout=30))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 201, 202}, [answer.text for answer in answers]
    (job,) = {answer.json()["id"] for answer in answers}
    other = target.client.post("/v1/jobs", json={"argv": ["false"]}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    for bad in ("", "a" * 300, "two words"):
        refused = target.client.post("/v1/jobs", json={"argv": ["true"]}, headers={"Idempotency-Key": bad})
        assert refused.status_code == 400, bad
        assert problem_of(refused, bad)["errors"][0]["field"] == "Idempotency-Key"
    until_ended(target.client, job)


def test_twins_in_paths_are_two_files(target: Target) -> None:
    folder = uuid4().hex
    for form, content in (("NFC", b"composed"), ("NFD", b"decomposed")):
        path = f"/v1/files/{folder}/{unicodedata.normalize(form, 'café')}"  # type: ignore[arg-type]
        assert target.client.put(path, content=content).status_code == 201
    paths = [item["path"] for item in target.client.get("/v1/files", params={"prefix": folder}).json()["items"]]
    assert sorted(map(len, paths)) == [37, 38]
    assert [target.client.get(f"/v1/files/{path}").content for path in sorted(paths, key=len)] == [
        b"composed",
        b"decomposed",
    ]


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"argv": ["no-such-program-anywhere"]}, 127),
        ({"argv": ["./"]}, 126),
        ({"script": "#!/no/such/interpreter\n"}, 127),
        ({"script": "if then fi ((("}, 2),
        ({"script": "\ufeff\u202e$(", "env": {"LD_PRELOAD": "/no/such.so"}}, None),
    ],
    ids=["missing", "folder", "interpreter", "syntax", "noise"],
)
def test_a_command_that_cannot_be_run_fails_plainly(target: Target, spec: dict[str, object], code: int | None) -> None:
    ended = until_ended(target.client, submit(target.client, **spec))
    assert ended["state"] == "failed", ended
    assert ended["reason"] in {"exited", "signaled"}, ended
    assert ended["exit_code"] != 0 if code is None else ended["exit_code"] in {code, 126, 127}, ended


def test_output_of_any_bytes_is_served_as_it_was_written(target: Target) -> None:
    job = submit(target.client, "python3", "-c", _OUTPUT)
    assert until_ended(target.client, job)["state"] == "succeeded"
    got = logs(target.client, job)
    assert got.startswith(b"\xff\xfe\x80 no UTF-8\n\x1b[2J")
    assert got.endswith(b"x\nno newline at the end")
    assert len(got) > 10_000_000
    followed = b""
    with target.client.stream("GET", f"/v1/jobs/{job}/logs", params={"follow": "true"}) as answer:
        kind = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            kind = value if name == "event" else kind
            if name == "data" and kind == "log":
                followed += _chunk(json.loads(value))
            elif name == "data" and kind == "end":
                break
    assert followed == got


def _chunk(said: dict[str, str]) -> bytes:
    return said["text"].encode() if "text" in said else base64.b64decode(said["base64"])


def test_what_a_job_leaves_behind_under_strange_names_harms_nobody(target: Target) -> None:
    ended = until_ended(target.client, submit(target.client, script=_NAMES, outputs=[{"path": "out/*"}]))
    assert (ended["state"], ended["reason"]) == ("failed", "staging"), ended
    assert "cannot be kept" in ended["message"], ended["message"]
    assert {item["path"] for item in ended["outputs"]} == {
        "outputs/out/good.txt",
        "outputs/out/-rf",
        "outputs/out/$(id)",
    }


def test_a_list_of_large_jobs_is_cut_where_the_message_ends(target: Target) -> None:
    name = f"large-{uuid4().hex[:8]}"
    script = "true #" + "\x01" * 600_000  # each of these becomes six bytes of JSON
    jobs = [submit(target.client, script=script, name=name, hold=True) for _ in range(4)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"name": name, "limit": "1000", **({"cursor": cursor} if cursor else {})}
        page = target.client.get("/v1/jobs", params=params).raise_for_status().json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == jobs[::-1]
    for job in jobs:
        cancel(target.client, job)
        until(target.client, job, "canceled")
    assert get(target.client, jobs[0])["spec"]["script"] == script


@pytest.mark.usefixtures("untouched")
def test_a_job_that_fits_no_message_is_too_large(target: Target) -> None:
    answer = target.client.post("/v1/jobs", json={"script": "true #" + "\x01" * 900_000})
    target.check(answer, "a script that grows")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
