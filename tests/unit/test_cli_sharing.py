"""Sharing from the command line and from both clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.errors import ForbiddenError
from contracts.grants import Right
from shunter.asynchronous import AsyncClient
from shunter.connection import Connection
from tests.support.rest import JOB_ID, URL, FakeServer, problem
from tests.support.terminal import Terminal

GRANT = {
    "resource": f"job:{JOB_ID}",
    "owner": "ada",
    "grantee": "user:bob",
    "right": "read",
    "created_at": "2026-11-20T10:00:00Z",
    "created_by": "ada",
    "a_field_of_tomorrow": 1,
}
FOLDER = {**GRANT, "resource": "folder:data/shared"}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(FakeServer(), tmp_path)


def _said(request: httpx.Request) -> Any:
    return json.loads(request.content)


def test_a_job_is_shared_with_several(terminal: Terminal) -> None:
    for grantee in ("user:bob", "project:vision"):
        terminal.server.on("PUT", f"/v1/jobs/{JOB_ID}/grants/{grantee}", {**GRANT, "grantee": grantee})
    ended = terminal.run("share", JOB_ID, "--with", "user:bob", "--with", "project:vision")
    assert ended.code == 0
    assert ended.out.splitlines() == [f"{JOB_ID} user:bob read", f"{JOB_ID} project:vision read"]
    assert [_said(request) for request in terminal.server.requests] == [{"right": "read"}, {"right": "read"}]


def test_a_share_ends_when_it_is_told_to(terminal: Terminal) -> None:
    answer = {**GRANT, "right": "control", "expires_at": "2030-01-31T18:00:00Z"}
    terminal.server.on("PUT", f"/v1/jobs/{JOB_ID}/grants/user:bob", answer)
    words = ("--with", "user:bob", "--right", "control", "--until", "2030-01-31T18:00:00+00:00")
    ended = terminal.run("share", JOB_ID, *words)
    assert "user:bob control until 2030-01-31" in ended.out
    (request,) = terminal.server.requests
    assert _said(request) == {"right": "control", "expires_at": "2030-01-31T18:00:00Z"}
    assert terminal.run("share", JOB_ID, "--with", "user:bob", "--until", "soon").code == 2


def test_what_has_a_slash_is_a_folder(terminal: Terminal) -> None:
    terminal.server.on("PUT", "/v1/folder-grants/user:bob", FOLDER, httpx.Response(202, json={"id": "user:bob"}))
    for word in ("data/shared", "data/shared/"):
        assert terminal.run("share", word, "--with", "user:bob").code == 0
    assert [request.url.params["folder"] for request in terminal.server.requests] == ["data/shared"] * 2
    ended = terminal.run("share", "data/", "--with", "user:bob", "--owner", "ada")
    assert ended.out == "data user:bob gets read when the service is back\n"
    assert terminal.server.requests[-1].url.params["owner"] == "ada"


def test_a_share_is_taken_back(terminal: Terminal) -> None:
    terminal.server.on("DELETE", f"/v1/jobs/{JOB_ID}/grants/user:bob", httpx.Response(204))
    terminal.server.on("DELETE", "/v1/folder-grants/user:bob", httpx.Response(202, json={"id": "user:bob"}))
    assert terminal.run("unshare", JOB_ID, "--with", "user:bob").out == f"{JOB_ID} user:bob nothing more\n"
    ended = terminal.run("unshare", "data/", "--with", "user:bob", "--json")
    assert ended.json() == {"grantee": "user:bob", "done": False}
    terminal.server.on("DELETE", f"/v1/jobs/{JOB_ID}/grants/user:bob", problem(404, "not_found"))
    assert terminal.run("unshare", JOB_ID, "--with", "user:bob").code == 4


def test_shares_are_shown_page_by_page(terminal: Terminal) -> None:
    pages = ({"items": [GRANT], "next_cursor": "c"}, {"items": [FOLDER], "next_cursor": None})
    terminal.server.on("GET", "/v1/shared", *pages)
    ended = terminal.run("shares")
    assert JOB_ID in ended.out
    assert "data/shared/" in ended.out
    terminal.server.on("GET", f"/v1/jobs/{JOB_ID}/grants", {"items": [GRANT]})
    assert terminal.run("shares", JOB_ID, "--json").json()["items"][0]["grantee"] == "user:bob"
    terminal.server.on("GET", "/v1/folder-grants", {"items": [FOLDER]})
    assert "user:bob" in terminal.run("shares", "data/shared/").out
    assert terminal.server.requests[-1].url.params["folder"] == "data/shared"
    assert terminal.run("shares", "--given").code == 0
    assert "folder" not in terminal.server.requests[-1].url.params


def test_files_of_another_come_and_go(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"0123456789")
    assert terminal.run("files", "put", str(tmp_path / "x.bin"), "in/", "--owner", "ada").code == 0
    assert _said(terminal.server.requests[0])["owner"] == "ada"
    assert terminal.run("files", "get", "in/x.bin", str(tmp_path / "y.bin"), "--owner", "ada").code == 0
    assert _said(terminal.server.requests[-1]) == {"path": "in/x.bin", "owner": "ada"}
    assert (tmp_path / "y.bin").read_bytes() == b"0123456789"
    record = {"path": "in/x", "owner": "ada", "size": 10, "sha256": "0" * 64, "created_at": "2026-11-20T10:00:00Z"}
    terminal.server.on("GET", "/v1/files", {"items": [record]})
    assert "in/x" in terminal.run("files", "ls", "in/", "--owner", "ada").out
    assert terminal.server.requests[-1].url.params["owner"] == "ada"
    assert terminal.run("files", "get", "-r", "in", str(tmp_path / "all"), "--owner", "ada").code == 0


def test_jobs_are_listed_by_whether_they_are_shared(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/jobs", {"items": []})
    assert terminal.run("ps", "--all", "--shared").code == 0
    assert terminal.run("ps", "--all", "--not-shared").code == 0
    assert terminal.run("ps", "--all").code == 0
    asked = [request.url.params.get("shared") for request in terminal.server.requests]
    assert asked == ["true", "false", None]


async def test_an_asyncio_program_shares_too(tmp_path: Path) -> None:
    server = FakeServer()
    server.on("PUT", f"/v1/jobs/{JOB_ID}/grants/user:bob", GRANT)
    server.on("GET", "/v1/shared", {"items": [FOLDER]})
    server.on("DELETE", "/v1/folder-grants/user:bob", problem(403, "forbidden"))
    (tmp_path / "x.bin").write_bytes(b"0123456789")
    client = AsyncClient(connection=Connection(URL), transport=server.transport, carrier=server.client(tmp_path))
    async with client:
        grant = await client.sharing.share_job(JOB_ID, "user:bob", Right.READ)
        assert grant
        assert grant.job_id == JOB_ID
        assert [item.folder for item in (await client.sharing.list_shared()).items] == ["data/shared"]
        with pytest.raises(ForbiddenError):
            await client.sharing.unshare_folder("data", "user:bob")
        await client.sharing.upload("ada", tmp_path / "x.bin", "in/x.bin")
        await client.sharing.download("ada", "in/x.bin", tmp_path / "y.bin")
    assert (tmp_path / "y.bin").read_bytes() == b"0123456789"
