"""psik_api's own document, replayed: its requests byte for byte, and its lines by a real curl."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.psik import DOCUMENT, ENDED, JOBID, Story, exchange, run_psik_port, until
from tests.support.stack import Stack

_HOST, _OLD_JOBID = b"127.0.0.1:8000", b"1693992878.203"


@pytest.fixture(scope="module")
def old(stack: Stack) -> Iterator[httpx.Client]:
    """A port where psik_api was, and which asks nobody who they are, as psik_api's local mode."""
    with run_psik_port(stack) as client:
        yield client


def _replay(client: httpx.Client, name: str, jobid: str = "") -> str:
    url = client.base_url
    request = (DOCUMENT / f"{name}.http").read_bytes().replace(_HOST, f"{url.host}:{url.port}".encode())
    status, body = exchange((url.host, url.port or 80), request.replace(_OLD_JOBID, jobid.encode()))
    expected, pattern = (DOCUMENT / f"{name}.answer").read_text().split("\n", 1)
    assert str(status) == expected, body
    wanted = pattern.rstrip("\n").replace(_OLD_JOBID.decode().replace(".", r"\."), re.escape(jobid))
    assert re.fullmatch(wanted, body, re.DOTALL), f"{name}: {body[:500]}"
    return body


def _wait(client: httpx.Client, jobid: str) -> None:
    until(lambda: client.get(f"/v1/jobs/{jobid}/state").json(), lambda state: state in ENDED)


def test_a_test_job_is_sent_listed_and_its_logs_are_read(old: httpx.Client) -> None:
    jobid = json.loads(_replay(old, "1-submit"))
    _wait(old, jobid)
    _replay(old, "2-list", jobid)
    _replay(old, "3-logs", jobid)


def test_a_job_is_made_gets_its_file_and_is_started(old: httpx.Client) -> None:
    jobid = json.loads(_replay(old, "4-new"))
    _replay(old, "5-upload", jobid)
    _replay(old, "6-start", jobid)
    _wait(old, jobid)
    _replay(old, "7-logs", jobid)


def test_the_lines_of_the_document_work_with_curl(old: httpx.Client, tmp_path: Path) -> None:
    story = Story(f"{old.base_url.host}:{old.base_url.port}", tmp_path)
    first = json.loads(story.run("story_1"))
    assert JOBID.fullmatch(first)
    _wait(old, first)
    assert json.loads(story.run("story_1_list"))[0]["jobid"] == first
    assert json.loads(story.run("story_1_logs", first))["stdout.1"].startswith("processor")

    (tmp_path / "data.txt").write_text("by curl\n")
    second = json.loads(story.run("story_2_new"))
    assert story.run("story_2_upload", second) == "null"
    assert story.run("story_2_start", second) == "null"
    _wait(old, second)
    assert json.loads(story.run("story_1_logs", second))["stdout.1"] == "by curl\n"


def test_the_site_itself_speaks_it_too_and_says_where(stack: Stack) -> None:
    place = json.loads((stack.data / "demo.json").read_text())["dialects"]["psik"]
    headers = {"Authorization": f"Bearer {stack.tokens['owner']}"}
    for version in ("v1", "v2"):
        made = httpx.post(f"{place}/{version}/jobs", json={"script": "true"}, headers=headers, trust_env=False)
        assert made.status_code == 200
        assert JOBID.fullmatch(made.json())
        page = httpx.get(f"{place}/{version}/", trust_env=False)
        assert page.status_code == 200
        assert "/jobs/{jobid}/start" in page.text
        assert "<script" not in page.text
    assert httpx.get(f"{place}/docs", trust_env=False).status_code == 200
