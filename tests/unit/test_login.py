"""Signing in at the terminal: the device flow, what is kept of it, and how it is renewed."""

from __future__ import annotations

import asyncio
import json
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from contracts.errors import InvalidError, UnauthenticatedError, UnavailableError
from contracts.model import now
from shunter.connection import Connection
from shunter.login.bearer import SavedLoginAuth
from shunter.login.issuer import DeviceCode, Issuer
from shunter.login.saved import LoginBook, SavedLogin
from tests.support.rest import FakeServer
from tests.support.terminal import Terminal

ISSUER = "https://issuer.test"
TOKENS = {"access_token": "first", "refresh_token": "again", "token_type": "Bearer", "expires_in": 600}
LOGIN = SavedLogin(
    issuer=ISSUER,
    client_id="cli",
    token_endpoint=f"{ISSUER}/token",
    access_token="first",
    refresh_token="again",
    expires_at=now() + timedelta(hours=1),
)
CODE = DeviceCode("secret", "ABCD", f"{ISSUER}/device", None, expires_in=60, interval=5)


def _error(word: str) -> httpx.Response:
    return httpx.Response(400, json={"error": word})


@dataclass
class Played:
    """An issuer whose token endpoint answers from a script, and the clock of whoever waits."""

    answers: deque[httpx.Response | Exception] = field(default_factory=deque)
    forms: list[dict[str, str]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("openid-configuration"):
            places = {name: f"{ISSUER}/{name}" for name in ("token", "revoke", "device")}
            return httpx.Response(
                200,
                json={
                    "issuer": ISSUER,
                    "token_endpoint": places["token"],
                    "revocation_endpoint": places["revoke"],
                    "device_authorization_endpoint": places["device"],
                },
            )
        self.forms.append({name: value[0] for name, value in parse_qs(request.content.decode()).items()})
        if request.url.path == "/device":
            answer: dict[str, Any] = {"device_code": "secret", "user_code": "AB\x1b[2JCD", "expires_in": 60}
            return httpx.Response(200, json={**answer, "verification_uri": f"{ISSUER}/device"})
        if request.url.path == "/revoke":
            return httpx.Response(200)
        found = self.answers.popleft()
        if isinstance(found, Exception):
            raise found
        return found

    def http(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self.handle))

    def issuer(self, url: str = ISSUER) -> Issuer:
        return Issuer(url, self.http(), sleep=self.slept.append, ticks=lambda: sum(self.slept))


def test_the_user_is_waited_for_at_the_pace_that_the_issuer_wants() -> None:
    played = Played(deque([_error("authorization_pending"), _error("slow_down"), httpx.Response(200, json=TOKENS)]))
    found = played.issuer().wait(LOGIN.model_copy(update={"access_token": ""}), CODE)
    assert played.slept == [5, 5, 10]
    assert (found.access_token, found.refresh_token) == ("first", "again")
    assert found.expires_at
    assert timedelta(seconds=590) < found.expires_at - now() < timedelta(seconds=601)
    assert played.forms[0] == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "secret",
        "client_id": "cli",
    }


def test_an_issuer_that_is_away_for_a_moment_is_asked_again_later_and_later() -> None:
    played = Played(deque([httpx.ConnectError("away"), httpx.ReadTimeout("slow"), httpx.Response(200, json=TOKENS)]))
    assert played.issuer().wait(LOGIN, CODE).access_token == "first"
    assert played.slept == [5, 10, 20]


@pytest.mark.parametrize(("word", "said"), [("access_denied", "refused"), ("expired_token", "in time"), ("odd", "odd")])
def test_a_refusal_ends_the_waiting(word: str, said: str) -> None:
    played = Played(deque([_error(word)]))
    with pytest.raises(UnauthenticatedError, match=said):
        played.issuer().wait(LOGIN, CODE)


def test_nobody_is_waited_for_longer_than_the_code_lives() -> None:
    played = Played(deque([_error("authorization_pending")] * 100))
    with pytest.raises(UnauthenticatedError, match="in time"):
        played.issuer().wait(LOGIN, CODE)
    assert sum(played.slept) < 60


@pytest.mark.parametrize("url", ["http://issuer.test", "http://127.0.0.1.evil.test", "ftp://issuer.test", "issuer"])
def test_nothing_is_sent_to_an_issuer_that_others_could_listen_to(url: str) -> None:
    with pytest.raises(InvalidError, match="https://"):
        Played().issuer(url).discover()


def test_what_an_issuer_says_cannot_steer_the_terminal() -> None:
    issuer = Played().issuer()
    assert issuer.begin(issuer.discover(), {"client_id": "cli"}).user_code == "AB[2JCD"


def test_a_token_that_is_no_bearer_token_is_not_kept() -> None:
    played = Played(deque([httpx.Response(200, json={**TOKENS, "token_type": "DPoP"})]))
    with pytest.raises(UnavailableError):
        played.issuer().wait(LOGIN, CODE)


# --- what is kept -------------------------------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path: Path) -> LoginBook:
    return LoginBook(tmp_path / "shunter" / "logins.json")


def _keep(book: LoginBook, login: SavedLogin | None, server: str = "https://lab.test") -> None:
    with book.locked():
        book.put(server, login)


def test_sign_ins_are_kept_by_server_and_for_their_user_alone(book: LoginBook, tmp_path: Path) -> None:
    _keep(book, LOGIN)
    _keep(book, LOGIN.model_copy(update={"access_token": "other"}), "https://other.test")
    file = tmp_path / "shunter" / "logins.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert book.get("https://lab.test") == LOGIN
    _keep(book, None)
    assert book.get("https://lab.test") is None
    assert book.get("https://other.test")
    file.chmod(0o640)
    with pytest.raises(InvalidError, match="chmod 600"):
        book.get("https://other.test")


def test_a_file_that_makes_no_sense_is_told_of(book: LoginBook, tmp_path: Path) -> None:
    _keep(book, LOGIN)
    (tmp_path / "shunter" / "logins.json").write_text("{")
    with pytest.raises(InvalidError, match="shunter login"):
        book.get("https://lab.test")


def test_a_sign_in_is_shown_to_its_server_and_a_token_that_is_named_wins(book: LoginBook, tmp_path: Path) -> None:
    _keep(book, LOGIN)
    profile = tmp_path / "shunter" / "config.yaml"

    def find(url: str, token: str | None = None) -> Connection:
        return Connection.find(url, token, environ={}, profile=profile)

    assert find("https://lab.test/").logins
    assert not find("https://other.test").logins
    assert not find("https://lab.test", "named").logins


# --- how it is shown and renewed ----------------------------------------------------------------------------------


@dataclass
class Server:
    """Takes one token, and remembers which were shown."""

    good: str
    shown: list[str] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.shown.append(request.headers["authorization"].removeprefix("Bearer "))
        return httpx.Response(200 if self.shown[-1] == self.good else 401)


def _auth(book: LoginBook, played: Played) -> SavedLoginAuth:
    return SavedLoginAuth(book, "https://lab.test", connect=played.http)


def _ask(server: Server, auth: SavedLoginAuth) -> Iterator[int]:
    """Ask as both clients do."""
    with httpx.Client(transport=httpx.MockTransport(server.handle), auth=auth) as client:
        yield client.get("https://lab.test/").status_code

    async def ask() -> int:
        async with httpx.AsyncClient(transport=httpx.MockTransport(server.handle), auth=auth) as other:
            return (await other.get("https://lab.test/")).status_code

    yield asyncio.run(ask())


def test_a_token_is_shown_as_long_as_it_is_good(book: LoginBook) -> None:
    _keep(book, LOGIN)
    server, played = Server("first"), Played()
    assert list(_ask(server, _auth(book, played))) == [200, 200]
    assert server.shown == ["first", "first"]
    assert not played.forms


def test_a_token_is_renewed_before_it_is_over_and_the_new_one_is_kept(book: LoginBook) -> None:
    _keep(book, LOGIN.model_copy(update={"expires_at": now() + timedelta(seconds=10)}))
    newer = {**TOKENS, "access_token": "second", "refresh_token": "third"}
    server, played = Server("second"), Played(deque([httpx.Response(200, json=newer)]))
    assert list(_ask(server, _auth(book, played))) == [200, 200]
    assert server.shown == ["second", "second"]
    assert played.forms == [{"grant_type": "refresh_token", "refresh_token": "again", "client_id": "cli"}]
    kept = book.get("https://lab.test")
    assert kept
    assert (kept.access_token, kept.refresh_token) == ("second", "third")


def test_a_token_that_the_server_refuses_is_renewed_once(book: LoginBook) -> None:
    _keep(book, LOGIN)
    newer = {**TOKENS, "access_token": "second"}
    server, played = Server("second"), Played(deque([httpx.Response(200, json=newer)]))
    assert next(_ask(server, _auth(book, played))) == 200
    assert server.shown == ["first", "second"]
    server.good = "never"
    played.answers.append(httpx.Response(200, json={**TOKENS, "access_token": "third"}))
    assert next(_ask(server, _auth(book, played))) == 401
    assert server.shown == ["first", "second", "second", "third"]


def test_an_ended_sign_in_says_what_to_do(book: LoginBook) -> None:
    _keep(book, LOGIN.model_copy(update={"expires_at": now()}))
    played = Played(deque([_error("invalid_grant")]))
    with pytest.raises(UnauthenticatedError, match="shunter login"):
        next(_ask(Server("x"), _auth(book, played)))
    _keep(book, None)
    with pytest.raises(UnauthenticatedError, match="shunter login"):
        next(_ask(Server("x"), _auth(book, played)))


def test_while_the_issuer_is_away_a_token_serves_to_its_end(book: LoginBook) -> None:
    _keep(book, LOGIN.model_copy(update={"expires_at": now() + timedelta(seconds=20)}))
    server, played = Server("first"), Played(deque([httpx.ConnectError("away"), httpx.ConnectError("away")]))
    assert next(_ask(server, _auth(book, played))) == 200
    _keep(book, LOGIN.model_copy(update={"expires_at": now()}))
    with pytest.raises(UnavailableError):
        next(_ask(server, _auth(book, played)))


# --- the commands -------------------------------------------------------------------------------------------------

METHOD = {"kind": "oidc", "name": "lab", "issuer": ISSUER, "client_id": "cli", "scope": "openid", "a_field": 1}
ME = {"subject": "lab:ada", "issuer": ISSUER, "projects": {}, "roles": []}


def _server(*methods: dict[str, Any]) -> tuple[FakeServer, Played]:
    played = Played(deque([httpx.Response(200, json=TOKENS)]))
    server = FakeServer().on("GET", "/v1/login/methods", {"methods": [*methods, {"kind": "token", "name": "token"}]})
    server.on("GET", "/v1/whoami", ME)
    server.on("GET", "/.well-known/openid-configuration", played.handle)
    for path in ("/device", "/token", "/revoke"):
        server.on("POST", path, played.handle)
    return server, played


def test_login_shows_an_address_and_a_code_and_logout_forgets(tmp_path: Path) -> None:
    server, played = _server(METHOD)
    terminal = Terminal(server, tmp_path)
    done = terminal.run("login")
    assert (done.code, done.out) == (0, "signed in as lab:ada\n")
    assert f"{ISSUER}/device" in done.err
    assert "AB[2JCD" in done.err
    assert "authorization" not in server.requests[0].headers
    assert server.requests[-1].headers["authorization"] == "Bearer first"
    assert terminal.run("whoami").code == 0
    assert server.requests[-1].headers["authorization"] == "Bearer first"
    assert terminal.run("logout").out == "signed out\n"
    assert played.forms[-1] == {"token": "again", "client_id": "cli"}
    assert terminal.run("whoami").code == 0
    assert "authorization" not in server.requests[-1].headers
    assert "not signed in" in terminal.run("logout").err


def test_login_for_scripts_puts_one_document_on_stdout(tmp_path: Path) -> None:
    server, _ = _server(METHOD)
    done = Terminal(server, tmp_path).run("login", "--json")
    assert json.loads(done.out)["subject"] == "lab:ada"
    assert Terminal(server, tmp_path).run("logout", "--json").json() == {"signed_out": True, "revoked": True}


def test_login_asks_which_issuer_where_there_are_several(tmp_path: Path) -> None:
    server, _ = _server(METHOD, {**METHOD, "name": "egi", "issuer": "https://egi.test"})
    terminal = Terminal(server, tmp_path)
    several = terminal.run("login")
    assert (several.code, "lab | egi" in several.err) == (2, True)
    assert terminal.run("login", "--issuer", "nobody").code == 2
    assert terminal.run("login", "--issuer", ISSUER).code == 0


def test_login_says_where_there_is_nothing_to_sign_in_with(tmp_path: Path) -> None:
    server, _ = _server({"kind": "oidc", "name": "x", "issuer": ISSUER})
    done = Terminal(server, tmp_path).run("login")
    assert (done.code, "SHUNTER_TOKEN" in done.err) == (2, True)
