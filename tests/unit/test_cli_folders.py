"""Folders, moves, versions and limits from the command line and from both clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from contracts.shelves import FolderRuleSpec
from services.gateway.api import folder_examples as examples
from shunter.asynchronous import AsyncClient
from shunter.connection import Connection
from tests.support.rest import URL, FakeServer
from tests.support.terminal import Terminal

PENDING = httpx.Response(202, json={"id": "x", "status": "pending"})


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(FakeServer(), tmp_path)


def _said(terminal: Terminal) -> Any:
    return json.loads(terminal.server.requests[-1].content)


def test_a_folder_is_made(terminal: Terminal) -> None:
    terminal.server.on("PUT", "/v1/folders/data/new", httpx.Response(201, json=examples.MADE), PENDING)
    assert terminal.run("files", "mkdir", "data/new/").out == "data/new/ is there\n"
    assert "will be made" in terminal.run("files", "mkdir", "data/new").out


def test_a_move_goes_into_a_folder_or_to_a_name(terminal: Terminal) -> None:
    terminal.server.on("POST", "/v1/moves", examples.MOVED, examples.MOVED, PENDING)
    assert terminal.run("files", "mv", "-r", "in/raw/", "data/").out == "in/raw is data/old/ now, with 3 files\n"
    assert _said(terminal) == {"path": "in/raw", "to": "data/raw", "folder": True, "replace": False}
    terminal.run("files", "mv", "--force", "a.txt", "b.txt")
    assert _said(terminal) == {"path": "a.txt", "to": "b.txt", "folder": False, "replace": True}
    assert json.loads(terminal.run("files", "mv", "--json", "a", "b").out) == {"path": "b", "moved": None}


def test_versions_and_the_trash_are_listed_to_the_end(terminal: Terminal) -> None:
    first = {"items": [examples.VERSION], "next_cursor": "c"}
    last = {"items": [{**examples.VERSION, "path": "data/other.csv", "a_field_of_tomorrow": 1}]}
    terminal.server.on("GET", "/v1/versions", first, last, last)
    out = terminal.run("files", "trash", "data/").out
    assert "data/digits.csv" in out
    assert "data/other.csv" in out
    assert terminal.server.requests[0].url.params.get_list("reason") == ["deleted", "expired"]
    assert terminal.server.requests[1].url.params["cursor"] == "c"
    shown = json.loads(terminal.run("files", "versions", "--json").out)
    assert [item["path"] for item in shown["items"]] == ["data/other.csv"]
    assert terminal.server.requests[-1].url.params.get_list("reason") == ["overwritten"]


def test_what_comes_back_is_a_version_or_from_the_trash(terminal: Terminal) -> None:
    terminal.server.on("POST", "/v1/restores", examples.RESTORED, examples.RESTORED, PENDING)
    assert terminal.run("files", "restore", "-r", "data/raw/").out == "data/raw/ is back: 3 files\n"
    assert _said(terminal) == {"path": "data/raw", "folder": True}
    terminal.run("files", "restore", "--version", "0" * 32, "--to", "b")
    assert _said(terminal) == {"version": "0" * 32, "to": "b", "folder": False}
    assert "when it is back" in terminal.run("files", "restore", "a").out
    assert terminal.run("files", "restore").code == 2


def test_the_trash_is_emptied_only_by_somebody_who_means_it(terminal: Terminal) -> None:
    terminal.server.on("DELETE", "/v1/trash", examples.PURGED)
    assert terminal.run("files", "empty-trash").code != 0
    assert not terminal.server.requests
    assert terminal.run("files", "empty-trash", "--yes", "data/").out == "3 files are gone for good\n"
    assert terminal.server.requests[-1].url.params["path"] == "data"


def test_folders_are_bounded_and_free_again(terminal: Terminal) -> None:
    terminal.server.on("PUT", "/v1/folder-rules", examples.RULE, PENDING)
    terminal.server.on("DELETE", "/v1/folder-rules", httpx.Response(204))
    terminal.server.on("GET", "/v1/folder-rules", {"items": [examples.RULE]})
    assert terminal.run("files", "limit", "data/in/", "--quota", "10GB", "--expire", "14d").out.endswith("is bounded\n")
    assert _said(terminal) == {"quota": 10_000_000_000, "expires_after": 1209600.0}
    assert "will be" in terminal.run("files", "limit", "/", "--owner", "bob", "--quota", "1TB").out
    assert dict(terminal.server.requests[-1].url.params) == {"owner": "bob"}
    for wrong in (["data"], ["data", "--quota", "much"], ["data", "--expire", "1s"]):
        assert terminal.run("files", "limit", *wrong).code == 2
    assert "9.3 GiB" in terminal.run("files", "limits").out
    assert terminal.run("files", "unlimit", "data").code == 0


def test_usage_says_what_is_held_and_what_is_kept_besides(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/storage", examples.USAGE)
    out = terminal.run("files", "usage").out
    assert "1.0 MiB" in out
    assert "64.0 MiB" in out


async def test_the_asynchronous_client_asks_for_the_same() -> None:
    server = FakeServer()
    server.on("POST", "/v1/moves", examples.MOVED).on("GET", "/v1/storage", examples.USAGE)
    server.on("GET", "/v1/versions", {"items": [examples.VERSION]}).on("PUT", "/v1/folder-rules", examples.RULE)
    server.on("GET", "/v1/folders/data/raw", examples.FOLDER)
    async with AsyncClient(connection=Connection(URL, SecretStr("t")), transport=server.transport) as client:
        folders = client.folders
        moved = await folders.move("a", "b")
        assert moved is not None
        assert moved.moved == 3
        assert (await folders.get_usage()).uploads.files == 1
        assert (await folders.list_versions()).items[0].path == "data/digits.csv"
        rule = await folders.set_rule("data/incoming", FolderRuleSpec.model_validate({"expires_after": "14d"}))
        assert rule is not None
        assert (await folders.get("data/raw")).files == 3
