"""Tokens without a gateway: root keys and their rotation, costs of blocks, narrowing at the command line."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from biscuit_auth import BiscuitBuilder, BlockBuilder, KeyPair
from pydantic import SecretStr

from contracts.errors import ForbiddenError, InternalError, InvalidError, UnauthenticatedError
from contracts.identity import TokenScopes
from contracts.model import now
from contracts.principals import Level, Principal, Role
from services.gateway.auth.biscuits import Biscuits
from services.gateway.auth.costs import is_affordable
from services.gateway.auth.passport import Facts
from services.gateway.auth.roots import Secrets, open_secrets
from services.gateway.auth.signer import Signer
from services.gateway.identity.register import Entry, Known, Register
from services.gateway.settings import IdentitySettings
from shunter.narrowing import key_from, narrow
from tests.support.rest import FakeServer
from tests.support.terminal import Terminal

ADA = Principal(subject="ada", issuer="https://idp", projects={"a": Level.ADMIN, "b": Level.MEMBER})
GET = Facts(method="GET", path="/v1/jobs")
ONE, TWO = bytes(range(32)), bytes(range(1, 33))
JOB = "job-" + "0" * 31 + "1"


def _way(register: Register | None = None, **roots: bytes) -> Biscuits:
    keys = {int(name[1:]): key for name, key in roots.items()} or {1: ONE}
    return Biscuits(Signer(Secrets(keys, ("seal",))), register or Register())


def _token(way: Biscuits, principal: Principal = ADA, **scopes: Any) -> str:
    made = way.signer.sign(principal, TokenScopes(**scopes), now() + timedelta(hours=1))
    return str(made.to_base64())


def test_a_token_says_who_was_asked_for_and_in_which_order() -> None:
    way = _way()
    odd = Principal(subject="o", issuer='say "x"\\', projects={"p": Level.MEMBER}, roles=frozenset({Role.ADMIN}))
    for principal in (ADA, odd):
        passport = way.passport_of(_token(way, principal, roles=frozenset({Role.AUDITOR})))
        assert passport
        assert passport.principal.model_copy(update={"token": None}) == principal
        assert list(passport.principal.projects) == list(principal.projects)
        assert passport.caveats
        assert passport.caveats.narrow(passport.principal, GET).roles == frozenset()


def test_a_token_keeps_the_address_that_its_owner_came_with() -> None:
    register = Register()
    passport = _way(register).passport_of(_token(_way(), ADA.model_copy(update={"email": "ada@example.org"})))
    assert passport
    assert passport.caveats
    assert passport.caveats.narrow(passport.principal, GET).email == "ada@example.org"
    register.take(Known(entries={"ada": Entry(email="ada@written.org")}))
    assert register.admit(passport).principal.email == "ada@written.org"


def test_old_root_keys_are_taken_until_they_are_removed() -> None:
    old, both, new = _way(k1=ONE), _way(k1=ONE, k2=TWO), _way(k2=TWO)
    before, after = _token(old), _token(both)
    assert [bool(way.passport_of(before)) for way in (old, both, new)] == [True, True, False]
    assert [bool(way.passport_of(after)) for way in (old, both, new)] == [False, True, True]
    assert [key.id for key in both.signer.published().keys] == [2, 1]


def test_root_keys_are_made_once_and_only_we_may_read_them(tmp_path: Path) -> None:
    first = open_secrets(IdentitySettings(), tmp_path)
    assert open_secrets(IdentitySettings(), tmp_path) == first
    given = IdentitySettings(root_keys=[SecretStr(f"7:{ONE.hex()}")], sealing_keys=[SecretStr("seal")])
    assert open_secrets(given, tmp_path / "nowhere").roots == {7: ONE}
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "gateway" / "keys.json").chmod(0o640)
    with pytest.raises(InternalError, match="chmod 600"):
        open_secrets(IdentitySettings(), tmp_path)
    with pytest.raises(InternalError, match="root_keys"):
        open_secrets(IdentitySettings(root_keys=[SecretStr("x")]), tmp_path)


def test_a_token_for_projects_keeps_those_and_is_refused_without_any() -> None:
    register = Register()
    way = _way(register)
    passport = way.passport_of(_token(way, projects=["b", "c"]))
    assert passport
    assert passport.caveats
    assert passport.caveats.narrow(passport.principal, GET).projects == {"b": Level.MEMBER}
    passport.require(GET)
    register.take(Known(entries={"ada": Entry(projects=(("c", Level.ADMIN),))}))
    admitted = register.admit(passport).principal
    assert passport.caveats.narrow(admitted, GET).projects == {"b": Level.MEMBER, "c": Level.ADMIN}
    with pytest.raises(ForbiddenError):
        passport.caveats.narrow(ADA.model_copy(update={"projects": {"a": Level.ADMIN}}), GET)


def test_a_token_of_somebody_whom_the_settings_name_no_more_is_worth_nothing() -> None:
    register = Register([Principal(subject="eve", issuer="static", roles=frozenset({Role.ADMIN}))])
    assert register.renewed(Principal(subject="eve", issuer="static")).is_admin
    with pytest.raises(UnauthenticatedError):
        register.renewed(Principal(subject="gone", issuer="static"))
    assert register.renewed(ADA) is ADA


_FACTS = "".join(f"n({number});" for number in range(60))


@pytest.mark.parametrize(
    ("said", "affordable"),
    [
        ('check if mode("GET")', True),
        (f'check if resource("{JOB}") or resource("x"), mode("GET"); check if gpus($n), $n <= 2', True),
        ('check if path($p), $p.matches("^/v1/(jobs|files)/.*")', True),
        ('check if user("ada"), path("/v1/whoami"), time($t), $t < 2999-01-01T00:00:00Z', True),
        ('n(1); user("bob"); check if n($a)', True),
        ("p($a) <- n($a)", False),
        ("check if [1, 2].all($a -> $a > 0)", False),
        (f"{_FACTS} check if n($a), n($b), n($c), $a + $b + $c > 1000", False),
        (f"{_FACTS}{_FACTS.replace('n', 'm')}", False),
        (f'{_FACTS} check if n($a), "x".matches("(a{{200}}){{40}}")', False),
        (f'check if "{"x" * 2000}" == "y"', False),
        (f"check if {' + '.join(['1'] * 100)} > 0", False),
        # What is printed of these looks harmless: strings are printed as they are.
        (r'check if n("q\", "), n($a), n($b), n($c), n($d), n($e), n($f), n($g), n($h), n("), n(\"w")', False),
    ],
)
def test_blocks_that_cost_too_much_are_known_by_their_bytes(said: str, affordable: bool) -> None:
    token = BiscuitBuilder('user("ada")').build(KeyPair().private_key).append(BlockBuilder(said)).to_base64()
    assert is_affordable(token) is affordable


@pytest.mark.parametrize("text", ["", "AAAA", "____", "Eg", "GgI="])
def test_what_is_no_token_is_not_affordable(text: str) -> None:
    assert not is_affordable(text)


def _keys(way: Biscuits) -> dict[str, Any]:
    return way.signer.published().model_dump(mode="json")


def test_a_token_is_narrowed_at_the_command_line_without_any_server(tmp_path: Path) -> None:
    way, server = _way(), FakeServer()
    terminal = Terminal(server, tmp_path)
    token = _token(way)
    words = ("token", "narrow", "--read-only", "--job", JOB, "--until", "+1h", "--max-gpus", "1")
    unknown = terminal.run(*words, stdin=token)
    assert unknown.code == 2
    assert "shunter token keys" in unknown.err
    server.on("GET", "/v1/tokens/keys", httpx.Response(200, json=_keys(way)))
    assert "ed25519/" in terminal.run("token", "keys").out
    asked = len(server.requests)
    done = terminal.run(*words, "--address", "192.0.2.7", "--project", "a", "--path", "/v1/jobs/", stdin=token)
    assert (done.code, len(server.requests)) == (0, asked)
    passport = way.passport_of(done.out.strip())
    assert passport
    assert passport.expires_at
    assert passport.expires_at <= now() + timedelta(hours=1)
    good = Facts(method="GET", path=f"/v1/jobs/{JOB}", resource=JOB, address="192.0.2.7")
    passport.require(good)
    for change in (
        {"method": "POST"},
        {"resource": "job-other"},
        {"resource": None},
        {"gpus": 2},
        {"address": "192.0.2.8"},
        {"path": "/v1/files"},
    ):
        with pytest.raises(ForbiddenError):
            passport.require(Facts(**{**_said(good), **change}))
    file = tmp_path / "token"
    file.write_text(done.out)
    again = terminal.run("token", "narrow", "--read-only", "--from", str(file), "--json")
    assert way.passport_of(json.loads(again.out)["token"])
    assert token not in terminal.run("token", "narrow", "--help").out


def _said(facts: Facts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in Facts.__dataclass_fields__}


def test_narrowing_needs_the_right_key_and_something_to_narrow_to() -> None:
    way, other = _way(), _way(k1=TWO)
    token, keys = _token(way), way.signer.published()
    public = keys.keys[0].public_key
    assert way.passport_of(narrow(token, key_from(f"ed25519/{public}"), TokenScopes(read_only=True)))
    with pytest.raises(InvalidError, match="narrowed to"):
        narrow(token, keys, TokenScopes())
    with pytest.raises(InvalidError, match="no token of that site"):
        narrow(token, other.signer.published(), TokenScopes(read_only=True))
    with pytest.raises(InvalidError, match="hexadecimal"):
        key_from("x")
