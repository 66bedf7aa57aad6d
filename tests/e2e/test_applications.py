"""An application of the site from end to end: offered, started by its name, its results used by the next job."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import httpx
import pytest

from tests.support.catalogs import small
from tests.support.jobs import logs, submit, until_ended
from tests.support.stack import Stack, shunter

_COMMAND = (
    "mkdir /files/model && cat /files/data/* > /files/model/all && echo kept > /files/model/note "
    "&& wc -c < /files/model/all"
)


@pytest.fixture
def owner(stack: Stack) -> httpx.Client:
    return stack.client("owner")


def _put(client: httpx.Client, path: str, content: bytes) -> None:
    assert client.put(f"/v1/files/{path}", content=content).status_code == 201


def _cli(stack: Stack, *words: str) -> Any:
    ended = subprocess.run(
        [shunter(), *words, "--json"],
        check=False,
        env=stack.environment("owner"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_an_application_is_offered_started_and_its_model_used_again(stack: Stack, owner: httpx.Client) -> None:
    file = stack.data / "application_config.yaml"
    before = file.read_bytes() if file.exists() else b""
    try:
        file.write_text(small(_COMMAND))
        _run(stack, owner)
        file.write_text(small(_COMMAND, timeout=0))  # a broken edit takes nothing away
        assert "small" in owner.get("/v1/applications").json()["applications"]
    finally:
        file.write_bytes(before)


def _run(stack: Stack, owner: httpx.Client) -> None:
    assert "run" in _cli(stack, "apps")["applications"]["small"]["v1"]
    for path, content in (("d1/a", b"old"), ("d1/b", b"b"), ("d2/a", b"newer")):
        _put(owner, f"app/data/{path}", content)
    options = ("--input", "data_ids=app/data/d1", "--input", "data_ids=app/data/d2", "--output", "artifact=app/model")
    made = _cli(stack, "submit", "--app", "small/v1/run", *options)
    ended = until_ended(owner, made["id"])
    assert ended["state"] == "succeeded", ended
    assert logs(owner, made["id"]) == b"6\n"  # "newer" lies over "old"
    assert owner.get("/v1/files/app/model/model/all").content == b"newerb"
    # What went elsewhere is one of the job's files all the same, as long as it is what the job left there.
    outputs = {item["path"]: item["at"] for item in owner.get(f"/v1/jobs/{made['id']}/files").json()["items"][:2]}
    assert outputs["outputs/model/all"] == "app/model/model/all"
    place = f"/v1/jobs/{made['id']}/files/outputs/model/note"
    assert owner.get(place).content == b"kept\n"
    # The next job has the whole folder as input.
    folder = {"source": "app/model", "path": "artifact", "folder": True}
    again = submit(owner, "cat", "artifact/model/all", inputs=[folder])
    assert until_ended(owner, again)["state"] == "succeeded"
    assert logs(owner, again) == b"newerb"
    _put(owner, "app/model/model/note", b"something else")
    assert owner.get(place).status_code == 404
    moves = owner.get(f"/v1/jobs/{made['id']}/history").json()["transitions"]
    assert next(move["message"] for move in moves if move["state"] == "running").startswith("/files ")
