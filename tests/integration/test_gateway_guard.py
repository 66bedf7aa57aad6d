"""Bounds on who asks, over HTTP: the answers, their headers, and the events of what was refused."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from services.chassis.settings import NatsSettings
from services.gateway.guard.settings import GuardSettings
from services.gateway.settings import CorsSettings
from tests.support.gateway import as_user, run_gateway

ADA, BOB, AUD = as_user("ada"), as_user("bob"), as_user("aud")


@asynccontextmanager
async def _gateway(nats: NatsSettings, **limits: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = GuardSettings.model_validate({"loopback": True, "principal": None, "address": None, **limits})
    async with run_gateway(nats, limits=settings) as (client, _):
        yield client


async def test_whoever_asks_too_often_is_told_when_to_come_again(nats: NatsSettings) -> None:
    async with _gateway(nats, principal={"requests": 3, "seconds": 3600}) as client:
        good = [await client.get("/v1/whoami", headers=ADA) for _ in range(3)]
        assert [answer.headers["ratelimit"].split(";")[1] for answer in good] == ["r=2", "r=1", "r=0"]
        assert {answer.headers["ratelimit-policy"] for answer in good} == {'"principal";q=3;w=3600'}
        refused = await client.get("/v1/whoami", headers=ADA)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert 0 < int(refused.headers["retry-after"]) <= 1200
        assert refused.headers["ratelimit"].startswith('"principal";r=0;t=')
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert (await client.get("/v1/whoami", headers=BOB)).status_code == 200


async def test_an_address_is_bound_whoever_asks_and_whatever_for(nats: NatsSettings) -> None:
    async with _gateway(nats, address={"requests": 4, "seconds": 3600}) as client:
        for headers in (ADA, BOB, {}, {"Authorization": "Bearer wrong"}):
            assert (await client.get("/v1/whoami", headers=headers)).status_code in {200, 401}
        for path in ("/v1/whoami", "/healthz", "/nowhere"):
            answer = await client.get(path, headers=ADA)
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        body = await client.post("/v1/jobs", content=b"x" * 100_000, headers=ADA)
        assert body.status_code == 429


async def test_this_machine_is_not_bound_unless_the_site_says_so(nats: NatsSettings) -> None:
    one = {"requests": 1, "seconds": 3600}
    async with _gateway(nats, loopback=False, principal=one, address=one) as client:
        for _ in range(5):
            answer = await client.get("/v1/whoami", headers=ADA)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers


async def test_wrong_passwords_are_refused_for_a_while(nats: NatsSettings) -> None:
    guesses = {"of_user": 3, "free": 3}
    async with _gateway(nats, loopback=False, guesses=guesses) as client:
        words = [base64.b64encode(f"ada:guess-{number}".encode()).decode() for number in range(6)]
        answers = [await client.get("/v1/whoami", headers={"Authorization": f"Basic {word}"}) for word in words]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429, 429]
        assert int(answers[-1].headers["retry-after"]) > 600
        assert (await client.get("/v1/whoami", headers=ADA)).status_code == 200


async def _refusals(client: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    """Wait until events tell of so many refused requests."""
    async with asyncio.timeout(10):
        while True:
            page = (await client.get("/v1/events", params={"type": "request.refused"}, headers=AUD)).json()
            found = [item["event"]["data"] for item in page["items"]]
            if sum(item["count"] for item in found) >= count:
                return found
            await asyncio.sleep(0.1)


async def test_every_refused_request_is_told_of_and_a_flood_in_few_words(nats: NatsSettings) -> None:
    async with _gateway(nats, guesses={"slowest": 0, "of_address": 1000}) as client:
        secret = {"Authorization": "Bearer a-secret-word"}
        for number in range(200):
            await client.get(f"/v1/jobs/job-{number:032x}", headers=secret, params={"wait": "1"})
        assert (await client.get("/v1/admin/health", headers=ADA)).status_code == 403
        found = await _refusals(client, 201)
        assert len(found) < 20
        anonymous = [item for item in found if item["status"] == 401]
        assert {(item["principal"], item["method"], item["route"], item["code"]) for item in anonymous} == {
            (None, "GET", "/v1/jobs/{job_id}", "unauthenticated")
        }
        assert {item["address"] for item in found} == {"127.0.0.1"}
        (forbidden,) = [item for item in found if item["status"] == 403]
        assert (forbidden["principal"], forbidden["code"]) == ("ada", "forbidden")
        assert "a-secret-word" not in str(found)
        # They are for those who watch over the site.
        page = await client.get("/v1/events", params={"type": "request.refused"}, headers=BOB)
        assert page.json()["items"] == []


async def test_web_pages_of_elsewhere_may_ask_where_the_site_lets_them(nats: NatsSettings) -> None:
    page = {"Origin": "https://portal.test"}
    preflight = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with run_gateway(nats) as (client, _):
        assert "access-control-allow-origin" not in (await client.get("/v1/whoami", headers={**ADA, **page})).headers
        assert (await client.options("/v1/jobs", headers=preflight)).status_code == 405
    async with run_gateway(nats, cors=CorsSettings(origins=["https://portal.test"])) as (client, _):
        answer = await client.get("/v1/whoami", headers={**ADA, **page})
        assert answer.headers["access-control-allow-origin"] == "https://portal.test"
        assert "access-control-allow-credentials" not in answer.headers
        allowed = await client.options("/v1/jobs", headers=preflight)
        assert allowed.status_code == 200
        assert allowed.headers["x-content-type-options"] == "nosniff"
        other = await client.get("/v1/whoami", headers={**ADA, "Origin": "https://other.test"})
        assert "access-control-allow-origin" not in other.headers
        refused = await client.options("/v1/jobs", headers={**preflight, "Origin": "https://other.test"})
        assert refused.status_code == 400


@pytest.mark.parametrize("local", [False, True])
async def test_how_one_gets_in_is_told_to_everybody(nats: NatsSettings, local: bool) -> None:
    async with run_gateway(nats, local=local) as (client, _):
        kinds = [item["kind"] for item in (await client.get("/v1/login/methods")).json()["methods"]]
        assert kinds == (["local", "token"] if local else ["token"])
        assert (await client.get("/v1/login/methods?x=1")).status_code == 422
