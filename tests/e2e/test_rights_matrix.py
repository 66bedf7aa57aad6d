"""Every route, and everybody who may come: each is answered as the table says, and a route without a row fails."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import pytest

from tests.support.rights_table import OPEN, ROWS, Row
from tests.support.rights_things import Things, mint
from tests.support.stack import Stack

_OWNER, _GUEST, _STRANGER = "owner", "low", "none"
_numbers = count()


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class _Bearers:
    """Tokens by who shows them; None shows nothing."""

    users: dict[str, str]
    tokens: dict[str, str]
    http: httpx.Client

    def of(self, who: str) -> dict[str, str]:
        word = {**self.users, **self.tokens}.get(who)
        return {"Authorization": f"Bearer {word}"} if word else {}


def _operations(document: dict[str, Any]) -> Iterator[_Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield _Operation(operation["operationId"], method.upper(), path)


@pytest.fixture(scope="module")
def bearers(stack: Stack) -> Iterator[_Bearers]:
    """Give tokens of all kinds, of the owner and of the admin."""
    tokens: dict[str, str] = {}
    other = stack.client().post("/v1/jobs", json={"argv": ["true"], "hold": True}).raise_for_status().json()["id"]
    for user in (_OWNER, "admin"):
        roles = {"roles": ["admin"]} if user == "admin" else {}
        tokens[f"{user}/full"] = mint(stack, user, scopes=roles)["token"]
        tokens[f"{user}/reading"] = mint(stack, user, scopes={"read_only": True, **roles})["token"]
        tokens[f"{user}/elsewhere"] = mint(stack, user, scopes={"jobs": [other], **roles})["token"]
        tokens[f"{user}/expired"] = mint(stack, user, lifetime="1s", scopes=roles)["token"]
        revoked = mint(stack, user, scopes=roles)
        stack.client(user).delete(f"/v1/tokens/{revoked['id']}").raise_for_status()
        tokens[f"{user}/revoked"] = revoked["token"]
    time.sleep(1.2)
    with httpx.Client(base_url=stack.url, trust_env=False, timeout=30) as client:
        yield _Bearers(stack.tokens, tokens, client)


def _things(stack: Stack, operation: str) -> Things:
    """Return what a request is about: the owner's, and some of it shared with the guest for reading."""
    return Things(stack, operation, next(_numbers), owner=_OWNER, guest=_GUEST)


def _end_subscriptions(stack: Stack) -> None:
    """Have nobody told of all that the other tests do: nobody listens."""
    for user in (_OWNER, _GUEST, _STRANGER):
        client = stack.client(user)
        for item in client.get("/v1/subscriptions").raise_for_status().json()["items"]:
            client.delete(f"/v1/subscriptions/{item['id']}").raise_for_status()


def _filled(value: Any, things: Things) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, things) for name, inner in value.items()}
    if isinstance(value, str):
        return value.format_map(things)
    return value


def _ask(bearers: _Bearers, who: str, operation: _Operation, row: Row, things: Things) -> int:
    body = row.body
    more: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {}
    if isinstance(body, dict):
        more = {"json": _filled(body, things)}
    query = row.query.format_map(things)
    url = f"{operation.path.format_map(things)}{f'?{query}' if query else ''}"
    bearers.http.cookies.clear()  # nobody is known by what somebody else was given
    return bearers.http.request(operation.method, url, headers=bearers.of(who), **more).status_code


def _expected(operation: _Operation, row: Row) -> dict[str, int]:
    """Return who is answered what; the one who may comes last, for that changes things."""
    by, reads = row.by, operation.method in {"GET", "HEAD"}
    return {
        "nobody": 401,
        f"{by}/expired": 401,
        f"{by}/revoked": 401,
        f"{by}/elsewhere": 403,
        **({} if reads else {f"{by}/reading": 403}),
        _STRANGER: row.foreign,
        **({_GUEST: row.to_guest()} if by == _OWNER else {_OWNER: row.foreign}),
        **({f"{by}/reading": row.token or row.own} if reads else {}),
        **({f"{by}/full": row.token} if row.token else {}),
        by: row.own,
    }


def test_every_route_has_a_row_and_every_row_a_route(stack: Stack) -> None:
    document = httpx.get(f"{stack.url}/openapi.json", trust_env=False).json()
    assert {operation.name for operation in _operations(document)} == set(ROWS) | OPEN


def test_everybody_is_answered_as_the_table_says(stack: Stack, bearers: _Bearers) -> None:
    document = httpx.get(f"{stack.url}/openapi.json", trust_env=False).json()
    wrong: list[str] = []
    for operation in _operations(document):
        if operation.name in OPEN:
            continue
        row = ROWS[operation.name]
        things = _things(stack, operation.name)
        for who, expected in _expected(operation, row).items():
            found = _ask(bearers, who, operation, row, things)
            if found != expected:
                wrong.append(f"{operation.name} ({operation.method} {operation.path}), {who}: {found}, not {expected}")
        if "ubscription" in operation.name:
            _end_subscriptions(stack)
    assert wrong == [], "\n".join(wrong)


def test_what_is_open_to_all_needs_no_credentials(stack: Stack) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/v1/login/methods", "/v1/tokens/keys"):
        assert httpx.get(f"{stack.url}{path}", trust_env=False).status_code == 200, path
    refused = httpx.post(f"{stack.url}/v1/login", json={"username": "matrix-nobody", "password": "x"}, trust_env=False)
    assert refused.status_code == 401, json.dumps(refused.json())


def test_strangers_see_nothing_of_others_in_any_list(stack: Stack) -> None:
    things = _things(stack, "listJobs")
    hidden = [things[name] for name in ("job_id", "batch_id", "schedule_id", "folder", "token_id", "access_key")]
    stranger = stack.client(_STRANGER)
    for path in (
        "users",
        "projects",
        "jobs",
        "batches",
        "schedules",
        "files",
        "folder-grants",
        "shared",
        "tokens",
        "keys",
        "events",
        "usage",
    ):
        shown = stranger.get(f"/v1/{path}").raise_for_status().text
        for thing in hidden:
            assert thing not in shown, (path, thing)
