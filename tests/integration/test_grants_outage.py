"""Events while those who keep the grants are away: a page says so, a listener hears at least their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
from httpx_sse import aconnect_sse

from contracts.envelope import Context
from contracts.events import WorkloadAccepted
from contracts.ids import workload_id
from contracts.model import now
from contracts.spec import JobSpec
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from tests.support.chassis import open_bus
from tests.support.gateway import as_user, run_gateway, run_site


@pytest_asyncio.fixture
async def bus(nats: NatsSettings) -> AsyncIterator[Bus]:
    async with open_bus(nats, "scheduler") as connected:
        yield connected


@pytest_asyncio.fixture
async def client(nats: NatsSettings, bus: Bus) -> AsyncIterator[httpx.AsyncClient]:
    async with run_gateway(nats) as (found, _):
        yield found


async def _accept(bus: Bus, owner: str) -> str:
    job = workload_id()
    event = WorkloadAccepted(workload_id=job, owner=owner, revision=1, spec=JobSpec(argv=["true"]), at=now())
    await bus.announce(event, Context.start("service:scheduler"))
    return job


async def test_a_page_that_cannot_be_told_whole_is_refused(
    nats: NatsSettings, bus: Bus, client: httpx.AsyncClient
) -> None:
    mine = await _accept(bus, "ada")
    ada = as_user("ada")
    own = await client.get("/v1/events", headers=ada)
    assert [item["event"]["subject"] for item in own.json()["items"]] == [mine]
    await _accept(bus, "eve")
    away = await client.get("/v1/events", headers=ada)
    assert (away.status_code, "retry-after" in away.headers) == (503, True)
    assert (await client.get("/v1/events?owner=ada", headers=ada)).status_code == 200
    assert (await client.get("/v1/events", headers=as_user("aud"))).status_code == 200
    async with run_site(nats):
        back = await client.get("/v1/events", headers=ada)
        assert [item["event"]["subject"] for item in back.json()["items"]] == [mine]


async def test_a_listener_hears_their_own_all_the_same(bus: Bus, client: httpx.AsyncClient) -> None:
    await _accept(bus, "eve")
    mine = await _accept(bus, "ada")
    headers = {**as_user("ada"), "Accept": "text/event-stream"}
    async with aconnect_sse(client, "GET", "/v1/events?since_sequence=1", headers=headers) as source:
        events = source.aiter_sse()
        async with asyncio.timeout(10):
            assert (await anext(events)).json()["subject"] == mine
            await _accept(bus, "eve")
            again = await _accept(bus, "ada")
            assert (await anext(events)).json()["subject"] == again
