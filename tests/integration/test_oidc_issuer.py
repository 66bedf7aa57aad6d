"""A gateway and a real OpenID Connect issuer: its tokens, its keys, its absence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from deploy.local.issuer import CLIENT, make_key
from services.gateway.settings import IdentitySettings
from tests.support.gateway import run_gateway
from tests.support.issuer import RealIssuer, run_issuer, sign_in
from tests.support.servers import run_nats

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCOPE = "openid profile email offline_access"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def issuer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealIssuer]:
    async with run_issuer(tmp_path_factory.mktemp("issuer")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def client(issuer: RealIssuer, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway of the test's own, that has never seen the issuer's keys; they are read again at each unknown one."""
    identity = IdentitySettings(issuers=[issuer.settings(refetch_after=0)], local=False)
    async with run_nats(tmp_path) as nats, run_gateway(nats, identity=identity) as (client, _):
        yield client


async def _ask(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get("/v1/whoami", headers={"Authorization": f"Bearer {token}"})


async def test_a_robots_token_says_who_it_is_and_where_it_belongs(
    issuer: RealIssuer, client: httpx.AsyncClient
) -> None:
    me = (await _ask(client, await issuer.token("ada"))).json()
    assert (me["subject"], me["issuer"], me["roles"]) == ("real:ada", issuer.url, [])
    assert me["projects"] == {
        "vision": "admin",
        "climate": "member",
        "aquarium": "member",
        "sound": "member",
        "lab": "admin",
    }
    assert (await _ask(client, await issuer.token("bob"))).json()["projects"] == {}


async def test_a_user_signs_in_on_another_device(issuer: RealIssuer, client: httpx.AsyncClient) -> None:
    device = await issuer.post("/device/auth", {"client_id": CLIENT, "scope": SCOPE})
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": device["device_code"],
        "client_id": CLIENT,
    }
    assert (await issuer.post("/token", form))["error"] == "authorization_pending"
    assert "signed in" in await asyncio.to_thread(sign_in, device["verification_uri_complete"], "ada")
    tokens = await issuer.post("/token", form)
    assert (await _ask(client, tokens["access_token"])).json()["subject"] == "real:ada"
    # The other one says who signed in to the command line; it is no key to any service.
    assert (await _ask(client, tokens["id_token"])).status_code == 401
    renewed = await issuer.post(
        "/token", {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": CLIENT}
    )
    assert (await _ask(client, renewed["access_token"])).json()["subject"] == "real:ada"


async def test_the_issuer_itself_wants_a_password(issuer: RealIssuer) -> None:
    device = await issuer.post("/device/auth", {"client_id": CLIENT, "scope": SCOPE})
    wrong = await asyncio.to_thread(sign_in, device["verification_uri_complete"], "ada", "guessed")
    assert "signed in" not in wrong


async def test_keys_are_rotated_without_anybody_noticing(issuer: RealIssuer, client: httpx.AsyncClient) -> None:
    old = await issuer.token("ada")
    assert (await _ask(client, old)).status_code == 200
    await issuer.rotate(make_key("k2"), *issuer.keys)
    new = await issuer.token("bob")
    assert (await _ask(client, new)).status_code == 200
    assert (await _ask(client, old)).status_code == 200
    await issuer.rotate(issuer.keys[0])
    unseen = await issuer.token("ada")
    assert (await _ask(client, unseen)).status_code == 200


async def test_while_the_issuer_is_away_known_keys_serve_and_unknown_ones_are_refused(
    issuer: RealIssuer, client: httpx.AsyncClient
) -> None:
    first, second = await issuer.token("ada"), await issuer.token("bob")
    assert (await _ask(client, first)).status_code == 200
    old = issuer.keys
    await issuer.rotate(make_key("k3"))
    unknown = await issuer.token("ada")
    await issuer.stop()
    answers = [(await _ask(client, token)).status_code for token in (first, second, unknown)]
    assert answers == [200, 200, 401]
    await issuer.start()
    assert (await _ask(client, unknown)).status_code == 200
    await issuer.rotate(*old)


async def test_a_token_for_somebody_else_opens_nothing(issuer: RealIssuer, tmp_path: Path) -> None:
    token = await issuer.token("ada")
    for settings in (issuer.settings(audiences=["urn:other"]), issuer.settings(algorithms=["ES256"])):
        identity = IdentitySettings(issuers=[settings], local=False)
        async with run_nats(tmp_path) as nats, run_gateway(nats, identity=identity) as (client, _):
            answer = await _ask(client, token)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_token_larger_than_any_header_is_refused(issuer: RealIssuer, client: httpx.AsyncClient) -> None:
    head, claims, signature = (await issuer.token("ada")).split(".")
    assert (await _ask(client, f"{head}.{claims}{'A' * 20_000}.{signature}")).status_code == 401
    assert (await _ask(client, f"{head}.{claims}{'A' * 100_000}.{signature}")).status_code == 431
