"""The frame of a service: its schema, its health, its end."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import count
from pathlib import Path

import httpx
import nats as nats_py
import pytest
from nats.js import JetStreamContext
from sqlalchemy import text

from contracts.errors import InternalError
from contracts.queries import CheckHealth
from services.chassis.health import HealthBook, health_app
from services.chassis.http import serve_http
from services.chassis.migrations import ensure_schema, newest_revision
from services.chassis.service import open_frame
from services.chassis.settings import ChassisSettings, LogSettings, NatsSettings, Server
from services.chassis.streams import declare_streams
from services.scheduler.tables import METADATA
from tests.support.chassis import open_bus, open_stand
from tests.support.databases import bring_empty, url_in
from tests.support.servers import free_ports


def _settings(nats: NatsSettings) -> ChassisSettings:
    return ChassisSettings(nats=nats, log=LogSettings(level="warning"), drain=5)


async def _fresh(folder: Path) -> str:
    url = url_in(folder)
    await bring_empty(url)
    return url


async def _tables(url: str) -> set[str]:
    async with open_stand(url) as stand, stand.unit.reading() as connection:
        found = await connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
        return set(found.scalars())


@pytest.mark.own_stores("it is about SQLite")
async def test_a_fresh_database_gets_the_present_schema_and_a_present_one_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "scheduler.db"
    url = f"sqlite+aiosqlite:///{file}"
    await ensure_schema("scheduler", url)
    assert await _tables(url) >= set(METADATA.tables) | {"alembic_version"}
    async with open_stand(url) as stand, stand.unit.reading() as connection:
        present = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    assert present == newest_revision("scheduler")
    before = file.stat().st_mtime_ns
    await ensure_schema("scheduler", url)
    assert file.stat().st_mtime_ns == before


@pytest.mark.own_stores("it is about SQLite")
async def test_two_processes_that_start_together_make_one_schema(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'scheduler.db'}"
    await asyncio.gather(ensure_schema("scheduler", url), ensure_schema("scheduler", url))
    assert await _tables(url) >= set(METADATA.tables)


@pytest.mark.own_stores("it is about SQLite")
async def test_a_database_that_cannot_be_upgraded_says_why(tmp_path: Path) -> None:
    file = tmp_path / "no.db"
    file.write_bytes(b"this is no database at all, but a text" * 100)
    with pytest.raises(InternalError, match="not a database"):
        await ensure_schema("scheduler", f"sqlite+aiosqlite:///{file}")


async def test_readiness_follows_the_dependencies_and_the_drain() -> None:
    broken = False

    async def check() -> None:
        if broken:
            raise ConnectionError("the database is away")

    book = HealthBook("scheduler", {"database": check})
    (port,) = free_ports(1)
    async with (
        serve_http(health_app(book), Server(port=port)),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]) == (200, {"database": "ok"})
        broken = True
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "the database is away" in ready.json()["checks"]["database"]
        assert (await client.get("/healthz")).status_code == 200
        broken, book.draining = False, True
        assert (await client.get("/readyz")).status_code == 503
        assert "python_info" in (await client.get("/metrics")).text


async def _listens(port: int) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                return await client.get(f"http://127.0.0.1:{port}/readyz")
            except httpx.ConnectError:
                await asyncio.sleep(0.01)


async def test_a_service_serves_until_it_is_told_to_stop(nats: NatsSettings, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = await _fresh(tmp_path)
    async with open_bus(nats, "gateway") as gateway:
        async with open_frame("scheduler", _settings(nats), database_url=url, metadata=METADATA) as frame:
            serving = asyncio.create_task(frame.serve(Server(port=port)))
            async with asyncio.timeout(10):
                answer = await _listens(port)
            assert answer.json()["checks"] == {"nats": "ok", "database": "ok"}
            health = await gateway.ask(CheckHealth(), service="scheduler")
            assert (health.service, health.ready) == ("scheduler", True)
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(10):
                await serving
        assert frame.health.draining


async def test_a_signal_before_readiness_is_a_wish_too(nats: NatsSettings, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = await _fresh(tmp_path)
    async with open_frame("scheduler", _settings(nats), database_url=url, metadata=METADATA) as frame:
        serving = asyncio.create_task(frame.serve(Server(port=port)))
        await asyncio.sleep(0)  # it has begun to serve, and is far from ready
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await serving
    assert frame.health.draining


async def test_a_service_whose_nats_greets_but_does_not_answer_yet_waits_for_it(
    nats: NatsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    url, asked = await _fresh(tmp_path), count(1)

    async def declare_late(jetstream: JetStreamContext, replicas: int) -> None:
        if next(asked) % 3:
            raise nats_py.errors.TimeoutError
        await declare_streams(jetstream, replicas)

    monkeypatch.setattr("services.chassis.bus.declare_streams", declare_late)
    monkeypatch.setattr("services.chassis.service.declare_streams", declare_late)
    async with open_frame("scheduler", _settings(nats), database_url=url, metadata=METADATA) as frame:
        serving = asyncio.create_task(frame.serve(Server(port=port)))
        async with asyncio.timeout(10):
            await _listens(port)
        assert next(asked) == 7
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await serving


async def test_a_start_that_waits_for_nats_heeds_the_wish_to_stop(
    nats: NatsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = await _fresh(tmp_path), asyncio.Event()

    async def never(_jetstream: JetStreamContext, _replicas: int) -> None:
        asked.set()
        raise nats_py.errors.TimeoutError

    async with open_frame("scheduler", _settings(nats), database_url=url, metadata=METADATA) as frame:
        monkeypatch.setattr("services.chassis.service.declare_streams", never)
        serving = asyncio.create_task(frame.serve(Server(port=0)))
        await asked.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await serving
    assert frame.health.draining


async def test_a_port_that_is_taken_is_said_clearly() -> None:
    (port,) = free_ports(1)
    book = HealthBook("scheduler")

    async def serve() -> None:
        async with serve_http(health_app(book), Server(port=port)):
            pass

    async with serve_http(health_app(book), Server(port=port)):
        with pytest.raises(RuntimeError, match=f"could not listen on 127.0.0.1:{port}"):
            await serve()
