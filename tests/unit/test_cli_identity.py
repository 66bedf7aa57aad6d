"""`token`, `keys`, `users`, `projects` at the command line, against a played server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.api import identity_examples as examples
from tests.support.rest import FakeServer
from tests.support.terminal import Terminal

_ID = examples.TOKEN["id"]
_KEY = examples.KEY["access_key"]


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return {"items": [item], "next_cursor": "more"}


CALLS: list[tuple[str, str, str, dict[str, Any] | None, str]] = [
    ("token list", "GET", "/v1/tokens", _page(examples.TOKEN), _ID),
    (f"token revoke {_ID}", "DELETE", f"/v1/tokens/{_ID}", None, "revoked"),
    ("token keys", "GET", "/v1/tokens/keys", examples.ROOT_KEYS, "ed25519/"),
    ("keys make laptop", "POST", "/v1/keys", examples.MADE_KEY, "shown once"),
    ("keys list", "GET", "/v1/keys", _page(examples.KEY), _KEY),
    (f"keys rm {_KEY}", "DELETE", f"/v1/keys/{_KEY}", None, "worth nothing"),
    ("users list", "GET", "/v1/users", _page(examples.USER), "vision"),
    ("users show ada", "GET", "/v1/users/ada", examples.USER, "ada@example.org"),
    ("users set ada --role auditor", "PUT", "/v1/users/ada", examples.USER, "Ada"),
    ("users disable ada --reason x", "POST", "/v1/users/ada/disable", examples.USER, "disabled"),
    ("users enable ada", "POST", "/v1/users/ada/enable", examples.USER, "ada"),
    ("projects list", "GET", "/v1/projects", _page(examples.PROJECT), "Computer vision"),
    ("projects set vision --title x", "PUT", "/v1/projects/vision", examples.PROJECT, "2 members"),
    ("projects rm vision", "DELETE", "/v1/projects/vision", None, "is gone"),
    ("projects members vision", "GET", "/v1/projects/vision/members", _page(examples.MEMBER), "member"),
    ("projects add vision ada --admin", "PUT", "/v1/projects/vision/members/ada", examples.MEMBER, "ada is member"),
    ("projects remove vision ada", "DELETE", "/v1/projects/vision/members/ada", None, "no more"),
]


@pytest.mark.parametrize(("words", "method", "path", "answer", "said"), CALLS, ids=[call[0] for call in CALLS])
def test_each_command_asks_and_tells(
    tmp_path: Path, words: str, method: str, path: str, answer: dict[str, Any] | None, said: str
) -> None:
    server = FakeServer()
    response = httpx.Response(204) if answer is None else httpx.Response(200, json=answer)
    server.on(method, path, response)
    terminal = Terminal(server, tmp_path)
    shown = terminal.run(*words.split())
    assert shown.code == 0, shown.err
    assert said in shown.out
    server.on(method, path, httpx.Response(response.status_code, content=response.content))
    assert json.loads(terminal.run(*words.split(), "--json").out)


def test_a_minted_token_stands_alone_on_stdout(tmp_path: Path) -> None:
    server = FakeServer().on("POST", "/v1/tokens", httpx.Response(201, json=examples.MINTED))
    options = ("--read-only", "--max-gpus", "2", "--project", "vision", "--role", "admin", "--lifetime", "12h")
    shown = Terminal(server, tmp_path).run("token", "mint", "nightly", *options)
    assert shown.out.strip() == examples.MINTED["token"]
    assert _ID in shown.err
    sent = json.loads(server.requests[-1].content)
    assert sent["lifetime"] == 12 * 3600
    assert sent["scopes"] == {"read_only": True, "max_gpus": 2, "projects": ["vision"], "roles": ["admin"]}


def test_secrets_are_sent_and_never_arguments(tmp_path: Path) -> None:
    server = FakeServer().on("PUT", "/v1/users/ada/password", httpx.Response(200, json=examples.USER))
    new = "a password long enough"
    shown = Terminal(server, tmp_path).run("users", "password", "ada", "--own", stdin=f"old\n{new}\n{new}\n")
    assert shown.code == 0, shown.err
    assert json.loads(server.requests[-1].content) == {"password": new, "current": "old"}
    assert new not in shown.out + shown.err
    server.on("POST", "/v1/tokens/inspect", httpx.Response(200, json=examples.INSPECTION))
    looked = Terminal(server, tmp_path).run("token", "inspect", stdin="a token\n")
    assert json.loads(server.requests[-1].content) == {"token": "a token"}
    assert "valid" in looked.out
    server.on("POST", "/v1/tokens/revocations", httpx.Response(200, json=examples.REVOCATION))
    assert Terminal(server, tmp_path).run("token", "revoke", "--reason", "x", stdin="a token").code == 0
    nothing = Terminal(server, tmp_path).run("token", "inspect", stdin="")
    assert nothing.code == 2
    assert "SHUNTER_TOKEN" in nothing.err
