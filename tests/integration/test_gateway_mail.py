"""Mail through the gateway, with a real scheduler and a real mail server: whose address is known, who opts out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from services.chassis.settings import NatsSettings
from services.gateway.settings import StaticUser
from tests.support.gateway import as_user, identity_settings, run_gateway
from tests.support.mail import mailing, ticket_in
from tests.support.post_office import PostOffice, run_post_office
from tests.support.runner import FakeRunner
from tests.support.scheduler import run_scheduler, scheduler_settings

ADA, EVE, ROOT = as_user("ada"), as_user("eve"), as_user("root")
JOB = {"argv": ["true"], "notify": {"on": ["succeeded"]}}


@pytest_asyncio.fixture
async def office(tmp_path: Path) -> AsyncIterator[PostOffice]:
    async with run_post_office(tmp_path / "post") as office:
        yield office


@pytest_asyncio.fixture
async def client(
    tmp_path: Path, nats: NatsSettings, temporal: str, office: PostOffice
) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path / "scheduler"
    folder.mkdir()
    settings = mailing(scheduler_settings(folder, nats, temporal, every=0.1, silence=5), office)
    ada = StaticUser(subject="ada", token_sha256=sha256(b"token-of-ada").hexdigest(), email="ada@settings.org")
    others = [user for user in identity_settings().users if user.subject != "ada"]
    runner = FakeRunner(nats)
    async with (
        run_scheduler(settings),
        run_gateway(nats, identity=identity_settings(users=[ada, *others]), submit_wait=30) as (client, _),
    ):
        await runner.start()
        yield client
        await runner.stop()


async def _made(client: httpx.AsyncClient, path: str, body: Any, headers: dict[str, str] = ADA) -> Any:
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert "ada@" not in answer.text
    return answer.json()


async def test_whatever_makes_jobs_mails_their_owner(client: httpx.AsyncClient, office: PostOffice) -> None:
    job = await _made(client, "/v1/jobs", JOB)
    await _made(client, "/v1/batches", {"jobs": [{"key": "a", "argv": ["true"]}, {"key": "b", **JOB}]})
    await _made(client, "/v1/jobs", {**JOB, "array": {"count": 3}})
    schedule = await _made(client, "/v1/schedules", {"name": "n", "every": "300d", "job": JOB})
    assert (await client.post(f"/v1/schedules/{schedule['id']}/trigger", headers=ADA)).status_code == 201
    minted = await client.post("/v1/tokens", json={"name": "robot"}, headers=ADA)
    robot = {"Authorization": f"Bearer {minted.json()['token']}"}
    await _made(client, "/v1/jobs", JOB, robot)
    await office.until(5, "ada@settings.org")
    # What the site has written down of a user wins, from the next job on.
    put = await client.put("/v1/users/ada", json={"email": "ada@written.org"}, headers=ROOT)
    assert put.status_code == 201
    assert (await client.get("/v1/whoami", headers=ADA)).json()["email"] == "ada@written.org"
    await _made(client, "/v1/jobs", JOB)
    await office.until(1, "ada@written.org")
    # A retry tells whom the first one told.
    assert (await client.post(f"/v1/jobs/{job['id']}/retry", headers=ADA)).status_code == 201
    await office.until(6, "ada@settings.org")
    refused = await client.post("/v1/jobs", json=JOB, headers=EVE)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "notify.to"
    for path in ("jobs", "schedules", "events?limit=1000"):
        shown = (await client.get(f"/v1/{path}", headers=ADA)).text
        assert '"own":"ada' not in shown.replace(" ", "")


async def test_the_link_in_a_mail_asks_first_and_then_does_it(client: httpx.AsyncClient, office: PostOffice) -> None:
    await _made(client, "/v1/jobs", JOB)
    (letter,) = await office.until(1)
    assert (await client.get("/v1/mail", headers=ADA)).json() == {
        "sends": True,
        "address": "ada@settings.org",
        "opted_out": False,
        "changed_at": None,
    }
    page = f"/v1/mail/opt-out?ticket={ticket_in(str(letter['List-Unsubscribe']))}"
    asked = await client.get(page)  # nobody says who they are
    assert asked.status_code == 200
    assert asked.headers["content-type"].startswith("text/html")
    assert "<form method=post>" in asked.text
    assert not (await client.get("/v1/mail", headers=ADA)).json()["opted_out"]
    done = await client.post(page, data={"List-Unsubscribe": "One-Click"})
    assert (done.status_code, "ada@settings.org" in done.text) == (200, True)
    assert (await client.get("/v1/mail", headers=ADA)).json()["opted_out"]
    again = await client.post(page, files={"List-Unsubscribe": (None, "One-Click")})
    assert again.status_code == 200
    assert "form" not in (await client.get(page)).text
    for method, wrong in (("GET", "forged"), ("POST", "forged"), ("POST", "")):
        assert (await client.request(method, f"/v1/mail/opt-out?ticket={wrong}")).status_code in {403, 422}
    assert (await client.get("/v1/mail/opt-out")).status_code == 422
    back = await client.put("/v1/mail", json={"opted_out": False}, headers=ADA)
    assert not back.json()["opted_out"]
    off = await client.put("/v1/mail", json={"opted_out": True}, headers=ADA)
    assert off.json()["opted_out"]
    assert (await client.get("/v1/mail", headers=EVE)).json()["opted_out"] is False
    assert (await client.put("/v1/mail", json={"opted_out": True})).status_code == 401
