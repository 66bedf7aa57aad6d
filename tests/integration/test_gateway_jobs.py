"""Jobs over REST: submit, list, show, wait, steer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from contracts.ids import workload_id_from
from contracts.states import WorkloadState
from services.chassis.settings import NatsSettings
from tests.support.gateway import Site, as_user, run_gateway, run_site
from tests.support.ticks import ticking

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA, BOB, EVE = as_user("ada"), as_user("bob"), as_user("eve")
TRUE = {"argv": ["true"], "name": "nothing"}


async def _submit(client: httpx.AsyncClient, **headers: str) -> Any:
    answer = await client.post("/v1/jobs", json=TRUE, headers={**ADA, **headers})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_submit_is_answered_with_the_record(site: Site, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/jobs", json=TRUE, headers={**ADA, "Prefer": "wait=10"})
    job = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["preference-applied"] == "wait=10"
    assert (job["owner"], job["project"], job["state"]) == ("ada", "vision", "accepted")
    assert job["links"]["temporal_ui"].endswith(f"/namespaces/shunter/workflows/{job['id']}")
    assert set(site.workloads) == {job["id"]}


async def test_a_submit_is_kept_while_the_scheduler_is_away(nats: NatsSettings) -> None:
    async with run_site(nats, scheduler=False) as site, run_gateway(nats, submit_wait=0.1) as (client, _):
        answer = await client.post("/v1/jobs", json=TRUE, headers=ADA)
        pending = answer.json()
        assert answer.status_code == 202
        assert pending["status"] == "pending"
        location = answer.headers["location"]
        assert location == f"/v1/jobs/{pending['id']}"
        away = await client.get(location, headers=ADA)
        assert (away.status_code, away.json()["code"]) == (503, "unavailable")
        assert int(away.headers["retry-after"]) >= 1
        await site.start_scheduler()
        async with asyncio.timeout(5):
            while (found := await client.get(location, headers=ADA)).status_code != 200:
                assert found.status_code == 503
        assert found.json()["state"] == "accepted"


async def test_a_job_that_is_not_handled_yet_is_not_unknown(nats: NatsSettings) -> None:
    async with run_site(nats, scheduler=False) as site, run_gateway(nats) as (client, _):
        await site.start_scheduler(commands=False)
        answer = await client.post("/v1/jobs", json=TRUE, headers={**ADA, "Prefer": "respond-async"})
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
        waiting = await client.get(answer.headers["location"], headers=ADA)
        assert (waiting.status_code, waiting.headers["retry-after"]) == (503, "2")
        assert (await client.get(answer.headers["location"], headers=EVE)).status_code == 404
        assert (await client.get(f"/v1/jobs/job-{'0' * 32}", headers=ADA)).status_code == 404


async def test_a_refusal_names_the_field(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/jobs", json={**TRUE, "placement": {"backend": "nowhere"}}, headers=ADA)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["field"] == "placement.backend"


async def test_the_same_key_makes_one_job(site: Site, client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "run-42"}
    first = await client.post("/v1/jobs", json={**TRUE, "env": {"A": "1", "B": "2"}}, headers={**ADA, **key})
    again = await client.post("/v1/jobs", json={**TRUE, "env": {"B": "2", "A": "1"}}, headers={**ADA, **key})
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    assert again.status_code == 200
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["id"] == again.json()["id"] == workload_id_from("ada", "run-42")
    other = await client.post("/v1/jobs", json={"argv": ["false"]}, headers={**ADA, **key})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    somebody = await client.post("/v1/jobs", json=TRUE, headers={**EVE, **key})
    assert somebody.status_code == 201
    assert len(site.workloads) == 2


async def test_a_key_must_be_visible_and_short(site: Site, client: httpx.AsyncClient) -> None:
    for key in ("", "a b", "x" * 256):
        answer = await client.post("/v1/jobs", json=TRUE, headers={**ADA, "Idempotency-Key": key})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "Idempotency-Key")
    assert not site.workloads


async def test_lists_are_paged_and_filters_reach_the_scheduler(site: Site, client: httpx.AsyncClient) -> None:
    ids = [(await _submit(client))["id"] for _ in range(5)]
    seen: list[str] = []
    url = "/v1/jobs?limit=2&label=team=vision&label=a=b=c&state=accepted&state=held&created_after=2026-01-01T00:00Z"
    while url:
        answer = await client.get(url, headers=ADA)
        seen += [item["id"] for item in answer.json()["items"]]
        url = answer.links.get("next", {}).get("url", "")
        assert bool(url) == (answer.json()["next_cursor"] is not None)
    assert seen == ids
    query: Any = site.asked[-1]
    assert (query.label, query.limit) == ({"team": "vision", "a": "b=c"}, 2)
    assert query.states == ["accepted", "held"]
    assert (await client.get("/v1/jobs?cursor=forged", headers=ADA)).status_code == 400


async def test_an_unchanged_job_is_not_sent_again(site: Site, client: httpx.AsyncClient) -> None:
    job = await _submit(client)
    url = job["links"]["self"]
    same = await client.get(url, headers={**ADA, "If-None-Match": '"1"'})
    assert (same.status_code, same.content) == (304, b"")
    await site.move(job["id"], WorkloadState.RUNNING)
    newer = await client.get(url, headers={**ADA, "If-None-Match": '"1"'})
    assert (newer.status_code, newer.headers["etag"]) == (200, '"2"')


async def test_a_long_poll_ends_with_the_job(site: Site, client: httpx.AsyncClient) -> None:
    job = await _submit(client)
    waiting = asyncio.create_task(client.get(f"{job['links']['self']}?wait=10", headers=ADA))
    await _until_asked(site)
    for state in (WorkloadState.QUEUED, WorkloadState.RUNNING, WorkloadState.FINISHING):
        await site.move(job["id"], state)
    async with ticking() as passed:
        await site.move(job["id"], WorkloadState.SUCCEEDED, exit_code=0)
        answer = await waiting
        assert passed() < 1
    assert (answer.json()["state"], answer.json()["exit_code"]) == ("succeeded", 0)
    # Moves that cannot end the waiting cost no question.
    assert len(site.asked) == 2


async def test_a_long_poll_waits_for_a_state_or_any_change(site: Site, client: httpx.AsyncClient) -> None:
    job = await _submit(client)
    url = job["links"]["self"]
    waiting = asyncio.create_task(client.get(f"{url}?wait=10&until=running", headers=ADA))
    await _until_asked(site)
    await site.move(job["id"], WorkloadState.RUNNING)
    assert (await waiting).json()["state"] == "running"
    known = {**ADA, "If-None-Match": '"1"'}
    assert (await client.get(f"{url}?wait=10&until=change", headers=known)).json()["revision"] == 2
    short = await client.get(f"{url}?wait=0.05&until=change", headers={**ADA, "If-None-Match": '"2"'})
    assert short.status_code == 304
    asked = len(site.asked)
    waiting = asyncio.create_task(client.get(f"{url}?wait=10&until=change", headers=ADA))
    await _until_asked(site, asked + 1)
    await site.move(job["id"], WorkloadState.FAILED, exit_code=3)
    assert (await waiting).json()["state"] == "failed"
    ended = await client.get(f"{url}?wait=10&until=running", headers=ADA)
    assert ended.json()["state"] == "failed"


async def test_a_long_poll_ends_when_the_gateway_stops(nats: NatsSettings) -> None:
    async with run_site(nats) as site, run_gateway(nats) as (client, process):
        job = await _submit(client)
        waiting = asyncio.create_task(client.get(f"{job['links']['self']}?wait=30", headers=ADA))
        await _until_asked(site)
        process.closing.set()
        assert (await waiting).json()["state"] == "accepted"


async def test_a_job_is_started_canceled_and_run_again(site: Site, client: httpx.AsyncClient) -> None:
    job = await _submit(client)
    url = job["links"]["self"]
    assert (await client.post(f"{url}/start", headers=ADA)).status_code == 409
    canceled = await client.post(f"{url}/cancel", headers=ADA)
    assert (canceled.status_code, canceled.json()["cancel_requested"]) == (202, True)
    await site.move(job["id"], WorkloadState.CANCELED)
    assert (await client.post(f"{url}/cancel", headers=ADA)).status_code == 200
    again = await client.post(f"{url}/retry", headers=ADA)
    assert (again.status_code, again.json()["retry_of"]) == (201, job["id"])
    assert again.headers["location"] == again.json()["links"]["self"] != url
    history = await client.get(f"{url}/history", headers=ADA)
    assert history.json()["transitions"][0]["state"] == "accepted"
    await site.move(again.json()["id"], WorkloadState.FAILED)
    ended = await client.post(f"{again.headers['location']}/cancel", headers=ADA)
    assert (ended.status_code, ended.json()["code"]) == (409, "conflict")


async def test_a_job_is_held_explained_and_released(site: Site, client: httpx.AsyncClient) -> None:
    job = await _submit(client)
    url = job["links"]["self"]
    held = await client.post(f"{url}/hold", headers=ADA)
    assert (held.status_code, held.json()["state"]) == (200, "held")
    assert (await client.post(f"{url}/release", headers=ADA)).status_code == 202
    explained = await client.get(f"{url}/explain", headers=ADA)
    assert (explained.status_code, explained.json()["why"]) == (200, "handed_over")
    await site.move(job["id"], WorkloadState.FAILED)
    assert (await client.post(f"{url}/hold", headers=ADA)).status_code == 409


async def test_the_same_key_and_wish_are_one_job_whatever_defaults_are_spelled_out(client: httpx.AsyncClient) -> None:
    headers = {**ADA, "Idempotency-Key": "once"}
    first = await client.post("/v1/jobs", json={"argv": ["true"]}, headers=headers)
    again = await client.post("/v1/jobs", json={"argv": ["true"], "priority": 0, "after": []}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    other = await client.post("/v1/jobs", json={"argv": ["true"], "priority": 1}, headers=headers)
    assert other.json()["code"] == "idempotency_mismatch"


async def test_what_is_not_yours_does_not_exist(client: httpx.AsyncClient) -> None:
    url = (await _submit(client))["links"]["self"]
    assert (await client.get(url, headers=BOB)).status_code == 200
    for path in ("", "/history", "/explain", "/logs", "/logs?follow=true", "/files", "/files/outputs/x"):
        answer = await client.get(url + path, headers=EVE)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for path in ("/start", "/hold", "/release", "/cancel", "/retry"):
        assert (await client.post(url + path, headers=EVE)).status_code == 404


async def _until_asked(site: Site, times: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(site.asked) < times:  # noqa: ASYNC110 (what happens behind the gateway says nothing)
            await asyncio.sleep(0.005)
