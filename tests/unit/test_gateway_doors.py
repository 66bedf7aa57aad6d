"""The ways in: who is let in by which, and in which order."""

from __future__ import annotations

from hashlib import sha256

import pytest
from starlette.requests import HTTPConnection

from contracts.errors import ForbiddenError, UnauthenticatedError
from contracts.principals import Level, Role
from services.gateway.auth.ways import open_door
from services.gateway.settings import IdentitySettings, StaticUser

USER = StaticUser(
    subject="ada",
    token_sha256=sha256(b"secret").hexdigest(),
    projects={"vision": Level.ADMIN},
    roles=frozenset({Role.AUDITOR}),
)


def _connection(client: str = "127.0.0.1", **headers: str) -> HTTPConnection:
    given = {"host": "127.0.0.1:8800", **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    return HTTPConnection({"type": "http", "client": (client, 1), "headers": raw, "path": "/"})


def _settings(*, local: bool) -> IdentitySettings:
    return IdentitySettings(local=local, users=[USER])


@pytest.mark.parametrize("local", [False, True])
async def test_a_token_names_its_user_everywhere(local: bool) -> None:
    door = open_door(_settings(local=local))
    for word in ("Bearer secret", "bearer secret", "BEARER  secret "):
        principal = (await door.identify(_connection("192.0.2.7", authorization=word))).principal
        assert (principal.subject, principal.roles) == ("ada", frozenset({Role.AUDITOR}))
        assert principal.projects == {"vision": Level.ADMIN}


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize(
    "word", ["Bearer wrong", "Bearer", "", "Bearer ", "Basic c2VjcmV0", "secret", "Bearer secret\xe9"]
)
async def test_wrong_credentials_open_no_door(local: bool, word: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await open_door(_settings(local=local)).identify(_connection(authorization=word))


async def test_without_credentials_only_this_machine_comes_in_and_only_in_local_mode() -> None:
    with pytest.raises(UnauthenticatedError):
        await open_door(_settings(local=False)).identify(_connection())
    door = open_door(_settings(local=True))
    for client, host in (
        ("127.0.0.1", "localhost"),
        ("127.8.9.1", "[::1]:80"),
        ("::1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "x.localhost"),
    ):
        assert (await door.identify(_connection(client, host=host))).principal.is_admin


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("192.0.2.7", {}),
        ("::ffff:192.0.2.7", {}),
        ("127.0.0.1", {"x_forwarded_for": "127.0.0.1"}),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}),
        ("127.0.0.1", {"host": "127.0.0.1.example"}),
        ("127.0.0.1", {"host": "[::1"}),
        ("127.0.0.1", {"host": ""}),
        ("127.0.0.1", {"origin": "null"}),
        ("127.0.0.1", {"origin": "https://localhost.example"}),
    ],
)
async def test_local_mode_refuses_who_only_seems_to_be_here(client: str, headers: dict[str, str]) -> None:
    with pytest.raises(ForbiddenError):
        await open_door(_settings(local=True)).identify(_connection(client, **headers))
