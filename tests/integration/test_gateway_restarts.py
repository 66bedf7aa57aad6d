"""Followers and waiters live through a NATS that goes away, and the gateway stops as it should."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from httpx_sse import aconnect_sse

from contracts.errors import UnavailableError
from contracts.ids import workload_id
from contracts.states import WorkloadState
from services.chassis.reader import StreamReader
from tests.support.chassis import NatsProcess, until
from tests.support.gateway import Site, as_user, run_gateway, run_site
from tests.support.servers import free_ports

ADA = as_user("ada")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsProcess]:
    process = NatsProcess(tmp_path)
    await process.start()
    yield process
    await process.kill()


async def _publish(site: Site, job_id: str, data: bytes, offset: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await site.print(job_id, data, offset=offset)
            except UnavailableError:
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.own_stores("it kills its NATS")
async def test_a_reader_goes_on_after_nats_was_killed(server: NatsProcess) -> None:
    job_id = workload_id()
    async with run_site(server.settings) as site:
        for number in range(10):
            await site.print(job_id, b"%d" % number, offset=number)
        seen: list[bytes] = []
        async with StreamReader(site.scheduler, "LOGS", [f"logs.{job_id}.*.*"], start=1, batch=3) as reader:
            seen += [entry.data for entry in await reader.read(wait=1)]
            waiting = asyncio.create_task(_read(reader, seen, 20))
            await server.kill()
            await asyncio.sleep(0.3)
            await server.start()
            for number in range(10, 20):
                await _publish(site, job_id, b"%d" % number, number)
            await waiting
        assert seen == [b"%d" % number for number in range(20)]


async def _read(reader: StreamReader, seen: list[bytes], count: int) -> None:
    async with asyncio.timeout(30):
        while len(seen) < count:
            try:
                seen += [entry.data for entry in await reader.read(wait=1)]
            except UnavailableError:
                await reader.pause(0.1)


@pytest.mark.own_stores("it kills its NATS")
async def test_a_follower_loses_nothing_when_nats_is_killed(server: NatsProcess) -> None:
    async with run_site(server.settings) as site, run_gateway(server.settings) as (client, _):
        made = await client.post("/v1/jobs", json={"argv": ["true"]}, headers=ADA)
        job_id, heard = made.json()["id"], b""
        url = f"/v1/jobs/{job_id}/logs?follow=true"
        async with aconnect_sse(client, "GET", url, headers=ADA) as source:
            events = source.aiter_sse()
            await site.print(job_id, b"before ", offset=0)
            heard += (await anext(events)).json()["text"].encode()
            await server.kill()
            await asyncio.sleep(0.2)
            await server.start()
            await _publish(site, job_id, b"after", 7)
            async with asyncio.timeout(30):
                heard += (await anext(events)).json()["text"].encode()
            await site.move(job_id, WorkloadState.SUCCEEDED)
            async with asyncio.timeout(30):
                assert (await anext(events)).event == "end"
        assert heard == b"before after"


@asynccontextmanager
async def _gateway_process(server: NatsProcess, folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    (port,) = free_ports(1)
    settings = {"nats": {"url": server.settings.url}, "gateway": {"listen": {"port": port}, "submit_wait": 1}}
    (folder / "shunter.yaml").write_text(yaml.safe_dump(settings))
    environment = {**os.environ, "SHUNTER_CONFIG": str(folder / "shunter.yaml")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway.main", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.own_stores("it starts the gateway as `shunter up` does")
async def test_the_process_finishes_what_it_holds_and_ends(server: NatsProcess, tmp_path: Path) -> None:
    async with (
        run_site(server.settings) as site,
        _gateway_process(server, tmp_path) as (process, url),
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
    ):
        async with asyncio.timeout(20):
            while not await _is_up(client):  # noqa: ASYNC110 (a process comes up by itself)
                await asyncio.sleep(0.05)
        job = (await client.post("/v1/jobs", json={"argv": ["true"]})).json()
        async with aconnect_sse(client, "GET", f"/v1/jobs/{job['id']}/logs?follow=true") as source:
            waiting = asyncio.create_task(client.get(f"{job['links']['self']}?wait=50"))
            await until(lambda: len(site.asked) >= 3)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert [event.event async for event in source.aiter_sse()] == []
                assert (await waiting).json()["state"] == "accepted"
                assert await process.wait() == 0


@pytest.mark.own_stores("it starts the gateway as `shunter up` does")
async def test_clients_that_keep_their_connections_see_no_broken_one_when_it_stops(
    server: NatsProcess, tmp_path: Path
) -> None:
    async with run_site(server.settings), _gateway_process(server, tmp_path) as (process, url):
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client, asyncio.timeout(20):
            while not await _is_up(client):  # noqa: ASYNC110 (a process comes up by itself)
                await asyncio.sleep(0.05)
        callers = [asyncio.create_task(_call_until_refused(url)) for _ in range(4)]
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            answers = [status for statuses in await asyncio.gather(*callers) for status in statuses]
            assert await process.wait() == 0
        assert set(answers) <= {200, 503}
        assert answers.count(200) > 20


async def _call_until_refused(url: str) -> list[int]:
    """Ask again and again until told to come later; any end but that or a refused connection is an error."""
    seen: list[int] = []
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        while True:
            try:
                answer = await client.get("/v1/whoami")
            except httpx.ConnectError:
                return seen
            seen.append(answer.status_code)
            if answer.status_code != 200:
                assert answer.headers["retry-after"]
                return seen


async def _is_up(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False
