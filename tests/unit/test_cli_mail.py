"""Mail from the command line: a job that asks for it, and whether one gets any."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from services.gateway.api.mail_examples import STANDING
from tests.support.rest import FakeServer, job
from tests.support.terminal import Terminal

MAIL = "/v1/mail"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(FakeServer(), tmp_path)


def test_a_job_asks_for_mail(terminal: Terminal) -> None:
    terminal.server.on("POST", "/v1/jobs", httpx.Response(201, json=job("accepted")))
    words = ("--mail", "failed", "--mail", "held", "--mail-to", "team@example.org")
    assert terminal.run("submit", *words, "--", "true").code == 0
    sent = json.loads(terminal.server.requests[0].content)
    assert sent["notify"] == {"on": ["failed", "held"], "to": ["team@example.org"]}


def test_a_wrong_word_is_refused_before_anything_is_sent(terminal: Terminal) -> None:
    ended = terminal.run("submit", "--mail", "someday", "--", "true")
    assert ended.code == 2
    assert "started" in ended.err
    assert terminal.server.requests == []


def test_it_is_shown_where_mail_goes(terminal: Terminal) -> None:
    terminal.server.on("GET", MAIL, httpx.Response(200, json=STANDING))
    assert terminal.run("mail", "show").out == "mail     on\naddress  ada@example.org\n"
    quiet = {**STANDING, "sends": False, "address": None, "opted_out": True, "changed_at": "2026-11-20T10:00:00Z"}
    terminal.server.on("GET", MAIL, httpx.Response(200, json=quiet))
    shown = terminal.run("mail", "show")
    assert "mail     off since 2026-11-20" in shown.out
    assert "address  -" in shown.out
    assert "sends no mail" in shown.err


@pytest.mark.parametrize(("word", "opted_out"), [("on", False), ("off", True)])
def test_it_is_turned_on_and_off(terminal: Terminal, word: str, opted_out: bool) -> None:
    terminal.server.on("PUT", MAIL, httpx.Response(200, json={**STANDING, "opted_out": opted_out}))
    ended = terminal.run("mail", word, "--json")
    assert json.loads(ended.out)["opted_out"] is opted_out
    assert json.loads(terminal.server.requests[0].content) == {"opted_out": opted_out}


def test_a_wish_is_kept_while_the_scheduler_is_away(terminal: Terminal) -> None:
    terminal.server.on("PUT", MAIL, httpx.Response(202, json={"id": "mail", "status": "pending"}))
    ended = terminal.run("mail", "off")
    assert (ended.code, ended.out) == (0, "")
    assert "kept" in ended.err
