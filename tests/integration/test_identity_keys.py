"""Key pairs over REST, and requests that are signed with them."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from contracts.model import now
from contracts.signing import BODY_HEADER, sign
from services.chassis.settings import NatsSettings
from services.gateway.settings import StaticUser
from shunter.signing import KeyPairAuth
from tests.support.databases import database_url, dump
from tests.support.gateway import Site, as_user, identity_settings, run_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA, BOB, AUD, ROOT = (as_user(name) for name in ("ada", "bob", "aud", "root"))


async def _make(client: httpx.AsyncClient, headers: dict[str, str]) -> Any:
    made = await client.post("/v1/keys", json={"name": "laptop"}, headers=headers)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store"), made.text
    return made.json()


async def test_a_signed_request_comes_in_as_its_owner(client: httpx.AsyncClient, site: Site) -> None:
    pair = await _make(client, ADA)
    auth = KeyPairAuth(pair["access_key"], pair["secret_key"])
    seen = (await client.get("/v1/whoami", auth=auth)).json()
    assert (seen["subject"], seen["issuer"], seen["projects"]) == ("ada", "static", {"vision": "member"})
    assert (await client.get("/v1/jobs?limit=1&name=a%20b", auth=auth)).status_code == 200
    for _ in range(2):
        assert (await client.post("/v1/jobs", json={"argv": ["true"]}, auth=auth)).status_code == 201
    body = b"bytes of a file"
    headers = {BODY_HEADER: sha256(body).hexdigest()}
    put = await client.put("/v1/files/signed", content=body, headers=headers, auth=auth)
    assert put.status_code in {200, 201}, put.text
    other = await client.put("/v1/files/signed", content=b"other bytes here", headers=headers, auth=auth)
    assert other.status_code in {400, 422}


async def test_what_was_not_signed_so_is_refused(client: httpx.AsyncClient) -> None:
    pair = await _make(client, ADA)
    access, secret, host = pair["access_key"], pair["secret_key"], str(client.base_url).removeprefix("http://")
    job = b'{"argv":["true"]}'

    def signed(**changes: Any) -> dict[str, str]:
        said = {
            "method": "POST",
            "host": host,
            "target": "/v1/jobs",
            "body_sha256": sha256(job).hexdigest(),
            "at": now(),
            **changes,
        }
        key, word = said.pop("access_key", access), said.pop("secret", secret)
        return {**sign(key, word, **said), "Content-Type": "application/json"}

    async def status(headers: dict[str, str], body: bytes = job) -> int:
        return (await client.post("/v1/jobs", content=body, headers=headers)).status_code

    right = signed()
    assert await status(right) == 201
    assert await status(right) == 401, "sent twice"
    for changes in (
        {"secret": "wrong"},
        {"secret": ""},
        {"access_key": "SHK00000000000000000000"},
        {"method": "GET"},
        {"target": "/v1/jobs?x=1"},
        {"host": "example.org"},
        {"body_sha256": sha256(b"other").hexdigest()},
        {"at": now() - timedelta(minutes=6)},
        {"at": now() + timedelta(minutes=6)},
    ):
        assert await status(signed(**changes)) == 401, changes
    assert await status(signed(), b'{"argv":["false"]}') == 401
    unsaid = signed()
    del unsaid[BODY_HEADER]
    assert await status(unsaid) == 401
    for broken in ("Shunter-HMAC-SHA256", "Shunter-HMAC-SHA256 x", right["Authorization"].replace("Date=2", "Date=9")):
        assert await status({**signed(), "Authorization": broken}) == 401
    safe = signed(method="GET", target="/v1/whoami", body_sha256=sha256(b"").hexdigest())
    assert (await client.get("/v1/whoami", headers=safe)).status_code == 200


async def test_keys_are_their_owners_business_and_end_at_once(client: httpx.AsyncClient) -> None:
    pair = await _make(client, BOB)
    auth = KeyPairAuth(pair["access_key"], pair["secret_key"])
    listed = await client.get("/v1/keys", headers=BOB)
    assert pair["access_key"] in listed.text
    assert pair["secret_key"] not in listed.text
    assert pair["access_key"] not in (await client.get("/v1/keys", headers=ADA)).text
    assert pair["access_key"] in (await client.get("/v1/keys?owner=bob", headers=ROOT)).text
    path = f"/v1/keys/{pair['access_key']}"
    assert [(await client.delete(path, headers=who)).status_code for who in (ADA, AUD)] == [404, 403]
    assert (await client.get("/v1/whoami", auth=auth)).status_code == 200
    assert (await client.delete(path, headers=BOB)).status_code == 204
    assert (await client.get("/v1/whoami", auth=auth)).status_code == 401
    assert (await client.delete(path, headers=BOB)).status_code == 404


async def test_secrets_lie_sealed_and_keys_survive(nats: NatsSettings, tmp_path: Path) -> None:
    async with run_gateway(nats, data=tmp_path) as (client, _):
        pair = await _make(client, ADA)
    dumped = await dump(database_url(tmp_path, "gateway") or f"sqlite+aiosqlite:///{tmp_path}/db/gateway.db")
    assert pair["access_key"].encode() in dumped
    assert pair["secret_key"].encode() not in dumped
    kept = tmp_path / "gateway" / "keys.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    users = [StaticUser(subject="ada", token_sha256="0" * 64), _demo_user()]
    async with run_gateway(nats, data=tmp_path, identity=identity_settings(users=users)) as (client, process):
        auth = KeyPairAuth(pair["access_key"], pair["secret_key"])
        assert (await client.get("/v1/whoami", auth=auth)).json()["subject"] == "ada"
        assert (await client.get("/v1/whoami", auth=KeyPairAuth("demo-access", "demo secret"))).status_code == 200
        found = process.identity.key_pairs.find(pair["access_key"])
        assert found
        assert (found.secret, found.passport.way) == (pair["secret_key"], "key")
        assert process.identity.key_pairs.find("SHK00000000000000000000") is None
    # Whom the settings name no more is known no more, whatever they kept.
    async with run_gateway(nats, data=tmp_path, identity=identity_settings(users=[])) as (client, _):
        assert (await client.get("/v1/whoami", auth=auth)).status_code == 401


def _demo_user() -> StaticUser:
    return StaticUser(
        subject="demo", token_sha256="1" * 64, access_key="demo-access", secret_key=SecretStr("demo secret")
    )
