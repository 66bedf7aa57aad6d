"""The event log over REST: pages, following, and never somebody else's events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from contracts.events import FileStored, MessageParked, WorkloadAccepted
from contracts.ids import workload_id
from contracts.model import now
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from services.chassis.settings import NatsSettings
from tests.support.gateway import Site, as_user, run_gateway, run_site
from tests.support.pulling import poll
from tests.support.ticks import ticking

ADA, BOB, EVE, AUD = as_user("ada"), as_user("bob"), as_user("eve"), as_user("aud")


@pytest.fixture
async def site(nats: NatsSettings) -> AsyncIterator[Site]:
    async with run_site(nats) as found:
        yield found


@pytest.fixture
async def client(nats: NatsSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with run_gateway(nats) as (found, _):
        yield found


async def _accept(site: Site, owner: str, project: str | None = None) -> str:
    job_id = workload_id()
    secret = FrozenInput(source="a", target="a", key=f"{owner}/secret", size=1, sha256="0" * 64)
    await site.announce(
        WorkloadAccepted(
            workload_id=job_id,
            owner=owner,
            project=project,
            revision=1,
            spec=JobSpec(argv=["true"]),
            inputs=[secret],
            at=now(),
        )
    )
    return job_id


async def _store(site: Site, owner: str) -> None:
    stored = FileStored(owner=owner, path="a", key=f"{owner}/secret", size=1, sha256="0" * 64, at=now())
    await site.announce(stored)


async def _park(site: Site) -> None:
    await site.announce(
        MessageParked(
            service="storage", stream="COMMANDS", subject="x", sequence=1, deliveries=5, message_id="m", error="e"
        )
    )


async def _page(client: httpx.AsyncClient, headers: dict[str, str], query: str = "") -> Any:
    answer = await client.get(f"/v1/events{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_everybody_sees_their_own(site: Site, client: httpx.AsyncClient) -> None:
    mine = await _accept(site, "ada", "vision")
    hers = await _accept(site, "eve")
    await _store(site, "ada")
    await _park(site)
    seen = {
        name: [item["event"]["subject"] for item in (await _page(client, as_user(name)))["items"]]
        for name in ("ada", "bob", "eve", "aud")
    }
    assert seen == {
        "ada": [mine, "secret"],
        "bob": [mine],
        "eve": [hers],
        "aud": [mine, hers, "secret", "m"],
    }
    everything = (await client.get("/v1/events", headers=AUD)).json()
    assert "key" not in str(everything)


async def test_pages_go_on_where_the_last_ended(site: Site, client: httpx.AsyncClient) -> None:
    ids = []
    for _ in range(5):
        ids.append(await _accept(site, "ada"))
        await _accept(site, "eve")
    seen, place = [], 1
    while items := (page := await _page(client, ADA, f"?since_sequence={place}&limit=2"))["items"]:
        seen += [item["event"]["subject"] for item in items]
        place = page["next_sequence"]
    assert seen == ids
    assert (await _page(client, ADA, "?since=2100-01-01T00:00:00Z"))["items"] == []


async def test_events_are_filtered(site: Site, client: httpx.AsyncClient) -> None:
    job_id = await _accept(site, "ada", "vision")
    await _accept(site, "ada")
    await _store(site, "ada")
    for query, count in (
        ("?type=workload.accepted", 2),
        ("?type=org.shunter.file", 1),
        ("?type=file&type=workload", 3),
        (f"?job={job_id}", 1),
        ("?project=vision", 1),
        ("?owner=eve", 0),
    ):
        assert len((await _page(client, ADA, query))["items"]) == count, query
    unknown = await client.get("/v1/events?type=nothing", headers=ADA)
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "type")


async def _consumers(site: Site) -> int:
    return (await site.scheduler.jetstream.stream_info("EVENTS")).state.consumer_count or 0


async def test_a_follower_hears_what_comes_and_comes_back_where_it_was(site: Site, client: httpx.AsyncClient) -> None:
    began = datetime.now(UTC)
    await _accept(site, "eve")
    before = await _accept(site, "ada")
    headers = {**ADA, "Accept": "text/event-stream"}
    others = await _consumers(site)
    async with aconnect_sse(client, "GET", "/v1/events", headers=headers) as source:
        events = source.aiter_sse()
        arriving = asyncio.create_task(anext(events))
        await poll(lambda: _consumers(site), lambda count: count > others)  # the head comes before the gateway listens
        await _accept(site, "eve")
        async with ticking() as passed:
            live = await _accept(site, "ada")
            event = await arriving
            assert passed() < 0.5
        assert (event.event, event.json()["subject"]) == ("org.shunter.workload.accepted.v1", live)
    missed = await _accept(site, "ada")
    async with aconnect_sse(client, "GET", "/v1/events", headers={**headers, "Last-Event-ID": event.id}) as source:
        assert (await anext(source.aiter_sse())).json()["subject"] == missed
    async with aconnect_sse(client, "GET", "/v1/events?since_sequence=1", headers=headers) as source:
        events = source.aiter_sse()
        assert [(await anext(events)).json()["subject"] for _ in range(3)] == [before, live, missed]
    since = httpx.QueryParams({"since": began.isoformat(), "follow": "true", "type": "workload.accepted"})
    async with aconnect_sse(client, "GET", f"/v1/events?{since}", headers=ADA) as source:
        assert (await anext(source.aiter_sse())).json()["subject"] == before


async def test_a_forged_id_is_refused(site: Site, client: httpx.AsyncClient) -> None:
    for forged in ("x", "-1", "9" * 30):
        answer = await client.get("/v1/events?follow=true", headers={**ADA, "Last-Event-ID": forged})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "Last-Event-ID")
