"""Users, projects and members over REST, and how a user is shut out: at once, whatever they show and follow."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from contracts.states import WorkloadState
from services.chassis.settings import NatsSettings
from tests.support.biscuits import bearer, mint, narrow
from tests.support.gateway import Site, Stand, as_user, identity_settings, run_gateway
from tests.support.ticks import ticking

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA, BOB, EVE, AUD, ROOT = (as_user(name) for name in ("ada", "bob", "eve", "aud", "root"))
PASSWORD = "a password long enough"


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def _new_user(client: httpx.AsyncClient, name: str, **wish: Any) -> dict[str, str]:
    """Make a user with a password; returns their credentials."""
    assert (await client.put(f"/v1/users/{name}", json=wish, headers=ROOT)).status_code == 201
    put = await client.put(f"/v1/users/{name}/password", json={"password": PASSWORD}, headers=ROOT)
    assert put.status_code == 200
    return basic(name, PASSWORD)


async def test_users_are_written_down_by_admins_and_seen_by_themselves(client: httpx.AsyncClient) -> None:
    wish = {"display_name": "Grace", "email": "grace@example.org", "roles": ["auditor"]}
    assert (await client.put("/v1/users/grace", json=wish, headers=ADA)).status_code == 404
    assert (await client.put("/v1/users/ada", json=wish, headers=ADA)).status_code == 403
    made = await client.put("/v1/users/grace", json=wish, headers=ROOT)
    assert (made.status_code, made.json()["roles"], made.headers["etag"]) == (201, ["auditor"], '"1"')
    changed = await client.put("/v1/users/grace", json={}, headers={**ROOT, "If-Match": '"1"'})
    assert (changed.status_code, changed.json()["revision"]) == (200, 2)
    stale = await client.put("/v1/users/grace", json=wish, headers={**ROOT, "If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (409, "conflict")
    broken = await client.put("/v1/users/grace", json=wish, headers={**ROOT, "If-Match": "x"})
    assert broken.status_code == 400
    seen = [(await client.get("/v1/users/grace", headers=who)).status_code for who in (ROOT, AUD, ADA)]
    assert seen == [200, 200, 404]
    assert (await client.get("/v1/users", headers=EVE)).json()["items"] == []


async def test_roles_and_memberships_given_here_come_to_what_the_way_in_says(client: httpx.AsyncClient) -> None:
    henry = await _new_user(client, "henry", roles=["auditor"])
    seen = (await client.get("/v1/whoami", headers=henry)).json()
    assert (seen["issuer"], seen["roles"], seen["projects"]) == ("shunter", ["auditor"], {})
    assert (await client.put("/v1/projects/radio", json={"title": "Radio"}, headers=ADA)).status_code == 403
    made = await client.put("/v1/projects/radio", json={"title": "Radio"}, headers=ROOT)
    assert (made.status_code, made.json()["title"]) == (201, "Radio")
    path = "/v1/projects/radio/members"
    assert (await client.put(f"{path}/ada", json={"level": "admin"}, headers=ADA)).status_code == 404
    assert (await client.put(f"{path}/ada", json={"level": "admin"}, headers=ROOT)).status_code == 200
    assert (await client.get("/v1/whoami", headers=ADA)).json()["projects"] == {"vision": "member", "radio": "admin"}
    # An admin of the project brings others in, and only into this one.
    assert (await client.put(f"{path}/henry", json={}, headers=ADA)).status_code == 200
    assert (await client.get("/v1/whoami", headers=henry)).json()["projects"] == {"radio": "member"}
    assert (await client.put(f"{path}/bob", json={}, headers=henry)).status_code == 403
    assert [(await client.get(path, headers=who)).status_code for who in (ADA, ROOT, AUD, henry, EVE)] == [
        *(200, 200, 200, 200, 404)
    ]
    assert (await client.get(path, headers=EVE)).status_code == 404
    members = (await client.get(f"{path}?limit=1", headers=ADA)).json()
    assert [item["subject"] for item in members["items"]] == ["ada"]
    rest = (await client.get(path, params={"cursor": members["next_cursor"]}, headers=ADA)).json()
    assert [item["subject"] for item in rest["items"]] == ["henry"]
    assert (await client.delete(f"{path}/henry", headers=ADA)).status_code == 204
    assert (await client.delete(f"{path}/henry", headers=ADA)).status_code == 404
    assert (await client.delete("/v1/projects/radio", headers=ROOT)).status_code == 204
    assert (await client.get("/v1/whoami", headers=ADA)).json()["projects"] == {"vision": "member"}
    assert (await client.get("/v1/projects/radio", headers=ADA)).status_code == 404


async def test_nobody_locks_themselves_out(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/users/root/disable", headers=ROOT)).status_code == 409
    boss = await _new_user(client, "boss", roles=["admin"])
    assert (await client.put("/v1/users/boss", json={}, headers=boss)).status_code == 409
    assert (await client.put("/v1/users/boss", json={"roles": ["admin"]}, headers=boss)).status_code == 200


async def test_a_disabled_user_is_refused_whatever_they_show(client: httpx.AsyncClient, stand: Stand) -> None:
    shown = [await _new_user(client, "ivy")]
    minted = await mint(client, shown[0])
    pair = await client.post("/v1/keys", json={"name": "k"}, headers=shown[0])
    assert pair.status_code == 201
    public_key = stand.process.identity.signer._public[1]
    shown += [bearer(minted["token"]), bearer(narrow(minted["token"], public_key, 'check if mode("GET")'))]
    assert [(await client.get("/v1/whoami", headers=one)).status_code for one in shown] == [200] * 3
    assert (await client.post("/v1/users/ivy/disable", headers=ADA)).status_code == 404
    off = await client.post("/v1/users/ivy/disable", json={"reason": "left"}, headers=ROOT)
    assert (off.status_code, off.json()["disabled"], off.json()["disabled_reason"]) == (200, True, "left")
    assert [(await client.get("/v1/whoami", headers=one)).status_code for one in shown] == [401] * 3
    login = await client.post("/v1/login", json={"username": "ivy", "password": PASSWORD})
    assert login.status_code == 401
    looked = (await client.post("/v1/tokens/inspect", json={"token": minted["token"]}, headers=ADA)).json()
    assert (looked["valid"], looked["reason"]) == (False, "this user is disabled")
    assert (await client.post("/v1/users/ivy/enable", headers=ROOT)).status_code == 200
    assert [(await client.get("/v1/whoami", headers=one)).status_code for one in shown] == [200] * 3
    # One whom only the settings know is shut out too.
    assert (await client.post("/v1/users/eve/disable", headers=ROOT)).status_code == 200
    assert (await client.get("/v1/whoami", headers=EVE)).status_code == 401
    assert (await client.post("/v1/users/eve/enable", headers=ROOT)).status_code == 200


async def test_passwords_open_the_door_and_are_changed_by_their_owner(client: httpx.AsyncClient) -> None:
    judy = await _new_user(client, "judy")
    for wrong in (basic("judy", "wrong"), basic("nobody", PASSWORD), basic("judy\x00", PASSWORD)):
        assert (await client.get("/v1/whoami", headers=wrong)).status_code == 401
    for broken in ("Basic", "Basic x", "Basic " + base64.b64encode(b"judy").decode()):
        assert (await client.get("/v1/whoami", headers={"Authorization": broken})).status_code == 401
    path, new = "/v1/users/judy/password", "another password of hers"
    assert (await client.put(path, json={"password": new}, headers=judy)).status_code == 403
    wrong_one = {"password": new, "current": "wrong"}
    assert (await client.put(path, json=wrong_one, headers=judy)).status_code == 401
    assert (await client.put(path, json={"password": "short", "current": PASSWORD}, headers=judy)).status_code == 422
    assert (await client.put(path, json={"password": new, "current": PASSWORD}, headers=judy)).status_code == 200
    assert (await client.get("/v1/whoami", headers=judy)).status_code == 401
    assert (await client.get("/v1/whoami", headers=basic("judy", new))).status_code == 200
    form = await client.post("/v1/login", data={"username": "judy", "password": new})
    assert (form.status_code, form.headers["cache-control"]) == (201, "no-store")
    token = bearer(form.json()["token"])
    assert (await client.get("/v1/whoami", headers=token)).json()["subject"] == "judy"
    twice = await client.post(
        "/v1/login",
        content=f"username=judy&username=root&password={new}",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert twice.status_code == 422
    assert (await client.post("/v1/login", json={"username": "judy", "password": "wrong"})).status_code == 401
    stream = await client.get("/v1/events?type=user&limit=1000", headers=ROOT)
    assert PASSWORD not in stream.text
    assert "argon2" not in stream.text


@asynccontextmanager
async def _following(client: httpx.AsyncClient, headers: dict[str, str], path: str) -> AsyncIterator[Any]:
    """Follow a stream; gives a task that ends when the stream does."""
    async with aconnect_sse(client, "GET", path, headers=headers, timeout=20) as source:
        assert source.response.status_code == 200

        async def listen() -> None:
            async for _ in source.aiter_sse():
                pass

        task = asyncio.create_task(listen())
        await asyncio.sleep(0.2)
        assert not task.done()
        yield task
        task.cancel()


async def test_what_runs_for_a_disabled_user_ends_within_a_second(client: httpx.AsyncClient, site: Site) -> None:
    kim = await _new_user(client, "kim")
    job = (await client.post("/v1/jobs", json={"argv": ["true"]}, headers=kim)).json()["id"]
    await site.move(job, WorkloadState.RUNNING, attempt=1)
    async with (
        _following(client, kim, "/v1/events?follow=true") as events,
        _following(client, kim, f"/v1/jobs/{job}/logs?follow=true") as logs,
        _following(client, ADA, "/v1/events?follow=true") as others,
    ):
        poll = asyncio.create_task(client.get(f"/v1/jobs/{job}?wait=15", headers=kim))
        await asyncio.sleep(0.2)
        async with ticking() as passed, asyncio.timeout(10):  # the poll alone would wait 15 s
            assert (await client.post("/v1/users/kim/disable", headers=ROOT)).status_code == 200
            await asyncio.gather(events, logs, poll)
            assert passed() < 1
        assert not others.done()


async def test_a_stream_ends_with_the_token_it_was_opened_with(client: httpx.AsyncClient, stand: Stand) -> None:
    public_key = stand.process.identity.signer._public[1]
    minted = await mint(client, ADA)
    short = await mint(client, ADA, lifetime="6s")
    odd = narrow(minted["token"], public_key, f"check if time($t), {_soon(6)} > $t")
    path = "/v1/events?follow=true"
    async with (
        _following(client, bearer(minted["token"]), path) as revoked,
        _following(client, bearer(short["token"]), path) as expired,
        _following(client, bearer(odd), path) as timed,
    ):
        async with ticking() as passed, asyncio.timeout(15):
            await expired
            await timed
            assert passed() < 7.5
        assert not revoked.done()
        async with ticking() as passed, asyncio.timeout(10):  # the look at the table comes only every 15 s
            assert (await client.delete(f"/v1/tokens/{minted['id']}", headers=ADA)).status_code == 204
            await revoked
            assert passed() < 1
    assert (await client.get("/v1/whoami", headers=bearer(short["token"]))).status_code == 401


def _soon(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


async def test_a_second_gateway_hears_of_it_at_once_and_after_a_restart(nats: NatsSettings, tmp_path: Path) -> None:
    data = tmp_path / "shared"
    async with (
        run_gateway(nats, data=data) as (one, _),
        run_gateway(nats, data=data, identity=identity_settings(refresh=600)) as (two, process),
    ):
        minted = await mint(one, ADA)
        assert (await two.get("/v1/whoami", headers=bearer(minted["token"]))).status_code == 200
        async with _following(two, bearer(minted["token"]), "/v1/events?follow=true") as stream:
            await one.delete(f"/v1/tokens/{minted['id']}", headers=ADA)
            async with ticking() as passed, asyncio.timeout(10):
                await stream
                assert passed() < 1
        assert (await two.get("/v1/whoami", headers=bearer(minted["token"]))).status_code == 401
        # Even if nothing is heard, the next look finds it.
        await one.post("/v1/users/ada/disable", headers=ROOT)
        await process.identity.refresh()
        assert (await two.get("/v1/whoami", headers=ADA)).status_code == 401
        kept = await mint(one, BOB)
    async with run_gateway(nats, data=data) as (again, _):
        assert (await again.get("/v1/whoami", headers=bearer(kept["token"]))).status_code == 200
        assert (await again.get("/v1/whoami", headers=ADA)).status_code == 401
