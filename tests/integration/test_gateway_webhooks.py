"""Callbacks and subscriptions through the gateway, with the real scheduler behind it: what goes in and what is seen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.chassis.settings import NatsSettings
from services.scheduler.webhooks.sending import SIGNATURE, sign
from tests.support.gateway import as_user, run_gateway
from tests.support.hooks import Got, Receiver, Says, allowing, run_receiver
from tests.support.runner import FakeRunner
from tests.support.scheduler import run_scheduler, scheduler_settings

SECRET = "no-word-for-the-eyes-of-others"
ADA = as_user("ada")
ENDS = {"events": ["succeeded"]}


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with run_receiver() as receiver:
        yield receiver


@pytest_asyncio.fixture
async def client(tmp_path: Path, nats: NatsSettings, temporal: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = allowing(scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=5), attempts=1)
    runner = FakeRunner(nats)
    async with run_scheduler(settings), run_gateway(nats) as (client, _):
        await runner.start()
        yield client
        await runner.stop()


async def _made(client: httpx.AsyncClient, path: str, body: Any, **headers: str) -> Any:
    answer = await client.post(path, json=body, headers={**ADA, **headers})
    assert answer.status_code == 201, answer.text
    assert SECRET not in answer.text
    assert "sealed" not in answer.text
    return answer.json()


def _is_signed(got: Got) -> bool:
    return got.headers.get(SIGNATURE) == sign(SECRET, got.body)


@pytest.mark.own_stores("it reads the files of its stores")
async def test_a_secret_goes_in_and_never_comes_out(
    client: httpx.AsyncClient, receiver: Receiver, tmp_path: Path
) -> None:
    callback = {"url": receiver.url(), "secret": SECRET, **ENDS}
    job = await _made(client, "/v1/jobs", {"argv": ["true"], "callback": callback})
    assert job["spec"]["callback"] == {**callback, "secret": None, "secret_of": None, "format": "cloudevents"}
    jobs = [{"key": "a", "argv": ["true"]}, {"key": "b", "argv": ["true"], "callback": callback}]
    await _made(client, "/v1/batches", {"jobs": jobs})
    await _made(client, "/v1/jobs", {"argv": ["true"], "array": {"count": 2}, "callback": callback})
    spec = {"name": "n", "every": "300d", "job": {"argv": ["true"], "callback": callback}}
    schedule = await _made(client, "/v1/schedules", spec)
    del spec["job"]["callback"]["secret"]  # type: ignore[index]  # what is shown is sent back
    changed = await client.put(f"/v1/schedules/{schedule['id']}", json=spec, headers=ADA)
    assert changed.status_code == 200
    assert (await client.post(f"/v1/schedules/{schedule['id']}/trigger", headers=ADA)).status_code == 201
    await _made(client, "/v1/subscriptions", {"url": receiver.url("/all"), "secret": SECRET, "types": ["workload"]})
    got = await receiver.until(4, path="/")
    retried = await client.post(f"/v1/jobs/{job['id']}/retry", headers=ADA)
    assert retried.status_code == 201
    await receiver.until(5, path="/")
    await receiver.until(1, path="/all")
    assert all(_is_signed(one) for one in [*got, *receiver.got])
    for path in ("events?limit=1000", "jobs", "schedules", "subscriptions", "deliveries", "batches"):
        for who in ("ada", "root"):
            shown = (await client.get(f"/v1/{path}", headers=as_user(who))).text
            assert SECRET not in shown
            assert "sealed:" not in shown
            assert receiver.url() in shown or path == "batches"
    kept = await asyncio.to_thread(lambda: [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()])
    assert any(b"sealed:" in raw for raw in kept)
    assert not any(SECRET.encode() in raw for raw in kept)


async def test_one_key_is_one_wish_secret_included(client: httpx.AsyncClient, receiver: Receiver) -> None:
    wish = {"argv": ["true"], "callback": {"url": receiver.url(), "secret": SECRET}}
    other = {"argv": ["true"], "callback": {"url": receiver.url(), "secret": SECRET + "!"}}
    first = await client.post("/v1/jobs", json=wish, headers={**ADA, "Idempotency-Key": "k"})
    again = await client.post("/v1/jobs", json=wish, headers={**ADA, "Idempotency-Key": "k"})
    wrong = await client.post("/v1/jobs", json=other, headers={**ADA, "Idempotency-Key": "k"})
    assert (first.status_code, again.status_code, wrong.status_code) == (201, 200, 422)
    assert wrong.json()["code"] == "idempotency_mismatch"


@pytest.mark.parametrize(
    ("callback", "field"),
    [
        ({"url": "https://hooks.example.org/"}, "callback.url"),
        ({"url": "http://user:word@127.0.0.1/"}, "callback.url"),
        ({"url": "http://127.0.0.1/", "secret": "sealed:forged"}, "secret"),
        ({"url": "http://127.0.0.1/", "secret": "x" * 300}, "secret"),
        ({"url": "http://127.0.0.1/", "format": "morse"}, "callback.format"),
        ({"url": "http://169.254.169.254/"}, "callback.url"),
    ],
)
async def test_what_cannot_be_sent_is_refused_by_its_field(
    client: httpx.AsyncClient, callback: dict[str, Any], field: str
) -> None:
    answer = await client.post("/v1/jobs", json={"argv": ["true"], "callback": callback}, headers=ADA)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    batch = {"jobs": [{"key": "a", "argv": ["true"], "callback": callback}]}
    assert (await client.post("/v1/batches", json=batch, headers=ADA)).status_code == 422


async def test_subscriptions_and_deliveries_over_rest(client: httpx.AsyncClient, receiver: Receiver) -> None:
    receiver.answer = lambda _: Says(500)
    made = await _made(client, "/v1/subscriptions", {"url": receiver.url(), "states": ["succeeded"], "name": "bot"})
    path = f"/v1/subscriptions/{made['id']}"
    job = await _made(client, "/v1/jobs", {"argv": ["true"]})
    async with asyncio.timeout(30):
        items: list[Any] = []
        while not items:
            await asyncio.sleep(0.05)
            items = (await client.get("/v1/deliveries?state=dead", headers=ADA)).json()["items"]
    (dead,) = items
    assert (dead["workload_id"], dead["subscription_id"], dead["status"]) == (job["id"], made["id"], 500)
    letter = f"/v1/deliveries/{dead['id']}"
    for hidden in (path, letter):
        assert (await client.get(hidden, headers=as_user("eve"))).status_code == 404
    assert (await client.post(f"{letter}/redeliver", headers=as_user("eve"))).status_code == 404
    assert (await client.post(f"{letter}/redeliver", headers=as_user("aud"))).status_code == 403
    assert (await client.get("/v1/deliveries", headers=as_user("eve"))).json()["items"] == []
    receiver.answer = lambda _: Says()
    assert (await client.post(f"{letter}/redeliver", headers=ADA)).status_code == 202
    got = await receiver.until(2)
    assert got[0].body == got[1].body
    ping = await client.post(f"{path}/test", headers=ADA)
    assert ping.status_code == 202
    await receiver.until(3)
    etag = (await client.get(path, headers=ADA)).headers["ETag"]
    wish = {"url": receiver.url("/new"), "name": "bot"}
    assert (await client.put(path, json=wish, headers={**ADA, "If-Match": etag})).status_code == 200
    assert (await client.put(path, json=wish, headers={**ADA, "If-Match": etag})).status_code == 409
    assert (await client.post(f"{path}/pause", headers=ADA)).json()["state"] == "paused"
    assert (await client.post(f"{path}/resume", headers=ADA)).json()["state"] == "active"
    page = (await client.get("/v1/subscriptions?name=bot", headers=ADA)).json()
    assert [one["id"] for one in page["items"]] == [made["id"]]
    assert (await client.delete(path, headers=ADA)).status_code == 204
    assert (await client.get(path, headers=ADA)).status_code == 404


async def test_a_job_that_came_by_psik_is_told_as_psik_tells(client: httpx.AsyncClient, receiver: Receiver) -> None:
    callback = {"url": receiver.url(), "secret": SECRET, "format": "psik"}
    labels = {"psik.job": "1769860800.123", "psik.ndx": "1"}
    await _made(client, "/v1/jobs", {"argv": ["true"], "callback": callback, "labels": labels})
    got = await receiver.until(3)
    assert [json.loads(one.body) for one in got] == [
        {"jobid": "1769860800.123", "jobndx": 1, "state": state, "info": 0}
        for state in ("queued", "active", "completed")
    ]
    assert got[0].body.startswith(b'{"jobid":"1769860800.123","jobndx":1,')
    assert all(_is_signed(one) and one.headers["content-type"] == "application/json" for one in got)


async def test_a_later_job_is_signed_with_the_secret_of_an_earlier_one(
    client: httpx.AsyncClient, receiver: Receiver
) -> None:
    told = {"url": receiver.url(), **ENDS}
    first = await _made(client, "/v1/jobs", {"argv": ["true"], "callback": {**told, "secret": SECRET}})
    wish = {"argv": ["true"], "callback": {**told, "secret_of": first["id"]}}
    second = await _made(client, "/v1/jobs", wish)
    assert second["spec"]["callback"]["secret_of"] is None
    assert all(_is_signed(one) for one in await receiver.until(2))
    other = {"argv": ["true"], "callback": {"url": receiver.url("/other"), "secret_of": first["id"]}}
    for spec, who in ((wish, "root"), (wish, "eve"), (other, "ada")):
        answer = await client.post("/v1/jobs", json=spec, headers=as_user(who))
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "callback.secret_of"
    many = await client.post("/v1/batches", json={"jobs": [{**wish, "key": "a"}]}, headers=ADA)
    assert many.status_code == 422
