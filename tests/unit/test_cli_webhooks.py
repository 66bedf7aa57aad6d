"""Subscriptions and deliveries from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.api.hook_examples import DELIVERY, PING, SUBSCRIPTION
from tests.support.rest import FakeServer, job
from tests.support.terminal import Terminal

SUBSCRIPTIONS, ONE = "/v1/subscriptions", f"/v1/subscriptions/{SUBSCRIPTION['id']}"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(FakeServer(), tmp_path)


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text("a word\n")
    return str(path)


def _body(terminal: Terminal, place: int = 0) -> Any:
    return json.loads(terminal.server.requests[place].content)


def test_a_secret_comes_from_a_file(terminal: Terminal, secret: str) -> None:
    terminal.server.on("POST", SUBSCRIPTIONS, httpx.Response(201, json=SUBSCRIPTION))
    ended = terminal.run(
        *("subscriptions", "add", "https://hooks.example.org/", "--secret-file", secret, "--name", "bot"),
        *("--type", "workload", "--state", "failed", "--label", "team=x", "--visible"),
    )
    assert ended.code == 0
    assert ended.out == f"{SUBSCRIPTION['id']} active\n"
    assert _body(terminal) == {
        "url": "https://hooks.example.org/",
        "name": "bot",
        "secret": "a word",
        "types": ["workload"],
        "states": ["failed"],
        "labels": {"team": "x"},
        "of": "visible",
    }


def test_a_callback_of_a_job_too_and_a_dry_run_shows_it_not(terminal: Terminal, secret: str) -> None:
    options = ("--callback", "https://hooks.example.org/", "--callback-secret-file", secret)
    placed = {"backend": "local", "start": "now", "why": "room", "order": "emptiest", "candidates": []}
    terminal.server.on("POST", "/v1/jobs", placed)
    shown = terminal.run("submit", *options, "--dry-run", "--", "true")
    assert shown.code == 0
    assert "a word" not in shown.out
    assert "hooks.example.org" in shown.out
    terminal.server.on("POST", "/v1/jobs", httpx.Response(201, json=job("accepted")))
    assert terminal.run("submit", *options, "--", "true").code == 0
    assert _body(terminal)["callback"] == {"url": "https://hooks.example.org/", "secret": "a word"}


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_file_without_a_secret_is_no_secret(terminal: Terminal, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "none"
    if content is not None:
        path.write_text(content)
    assert terminal.run("subscriptions", "add", "https://h.example.org/", "--secret-file", str(path)).code == 2
    assert not terminal.server.requests


def test_a_url_that_makes_no_sense_is_said_before_anything_is_sent(terminal: Terminal) -> None:
    ended = terminal.run("subscriptions", "add", "https://user:word@h.example.org/")
    assert ended.code == 2
    assert "no user or password" in ended.err
    assert not terminal.server.requests


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_subscription_is_found_by_its_name(terminal: Terminal, verb: str) -> None:
    terminal.server.on("GET", SUBSCRIPTIONS, {"items": [SUBSCRIPTION]})
    terminal.server.on("POST", f"{ONE}/{verb}", SUBSCRIPTION)
    assert terminal.run("subscriptions", verb, "ci-bot").code == 0
    assert terminal.server.requests[0].url.params["name"] == "ci-bot"


def test_a_name_that_nobody_or_several_have_is_said(terminal: Terminal) -> None:
    terminal.server.on("GET", SUBSCRIPTIONS, {"items": []}, {"items": [SUBSCRIPTION, SUBSCRIPTION]})
    assert terminal.run("subscriptions", "rm", "ci-bot").code == 4
    assert terminal.run("subscriptions", "rm", "ci-bot").code == 2


def test_subscriptions_are_listed_and_removed(terminal: Terminal) -> None:
    terminal.server.on("GET", SUBSCRIPTIONS, {"items": [SUBSCRIPTION]}, {"items": [SUBSCRIPTION]})
    terminal.server.on("DELETE", ONE, httpx.Response(204))
    assert "hooks.example.org" in terminal.run("subscriptions", "ls").out
    assert terminal.run("subscriptions", "ls", "--json").json()["items"][0]["signed"] is True
    assert "is gone" in terminal.run("subscriptions", "rm", SUBSCRIPTION["id"]).out


@pytest.mark.parametrize(("state", "code"), [("delivered", 0), ("waiting", 1), ("dead", 1)])
def test_a_test_says_whether_the_ping_arrived(terminal: Terminal, state: str, code: int) -> None:
    tried = {**PING, "state": state, "attempts": 1, "error": "" if state == "delivered" else "answered 500"}
    terminal.server.on("POST", f"{ONE}/test", httpx.Response(202, json=PING))
    terminal.server.on("GET", f"/v1/deliveries/{PING['id']}", PING, tried)
    ended = terminal.run("subscriptions", "test", SUBSCRIPTION["id"])
    assert ended.code == code
    assert state in ended.out


def test_dead_letters_are_listed_and_sent_again(terminal: Terminal) -> None:
    terminal.server.on("GET", "/v1/deliveries", {"items": [DELIVERY], "next_cursor": None})
    terminal.server.on(
        "POST", f"/v1/deliveries/{DELIVERY['id']}/redeliver", httpx.Response(202, json={**DELIVERY, "state": "waiting"})
    )
    shown = terminal.run("deliveries", "ls", "--state", "dead")
    assert "answered 503" in shown.out
    assert terminal.server.requests[0].url.params["state"] == "dead"
    assert "waiting" in terminal.run("deliveries", "redeliver", DELIVERY["id"]).out
    assert terminal.run("deliveries", "ls", "--state", "flying").code == 2
