"""The asyncio client: the same calls, awaited."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from pathlib import Path

import httpx
import pytest

from contracts.errors import NotFoundError, UnavailableError
from contracts.spec import JobSpec
from shunter.asynchronous import AsyncClient
from shunter.connection import Connection
from shunter.models import Submission
from tests.support.rest import JOB_ID, URL, FakeServer, Stream, job, problem, sse


def client_of(server: FakeServer, cache: Path, *, patience: float = 30.0) -> AsyncClient:
    async def sleep(seconds: float) -> None:
        server.slept.append(seconds)

    return AsyncClient(
        connection=Connection(URL),
        transport=server.transport,
        sleep=sleep,
        patience=patience,
        carrier=server.client(cache),
    )


async def test_a_job_is_submitted_and_waited_for(tmp_path: Path) -> None:
    away = problem(503, "unavailable", headers={"retry-after": "2"})
    server = FakeServer().on("POST", "/v1/jobs", away, httpx.Response(201, json=job("queued")))
    server.on("GET", f"/v1/jobs/{JOB_ID}", job("running"), httpx.ReadError("reset"), job("succeeded"))
    async with client_of(server, tmp_path) as client:
        submitted = await client.submit(JobSpec(argv=["true"]))
        assert (await client.wait(submitted)).state == "succeeded"
    assert server.slept[0] == 2.0
    assert server.requests[0].headers["idempotency-key"] == server.requests[1].headers["idempotency-key"]


async def test_a_pending_job_is_waited_for_but_an_unknown_one_is_not(tmp_path: Path) -> None:
    path = f"/v1/jobs/{JOB_ID}"
    server = FakeServer().on("GET", path, problem(404, "not_found"), problem(404, "not_found"), job())
    async with client_of(server, tmp_path) as client:
        with pytest.raises(NotFoundError):
            await client.wait(JOB_ID)
        assert (await client.wait(Submission(id=JOB_ID))).state == "succeeded"


async def test_patience_comes_to_an_end(tmp_path: Path) -> None:
    server = FakeServer().on("GET", "/v1/whoami", httpx.ConnectError("refused"))
    async with client_of(server, tmp_path, patience=1.0) as client:
        with pytest.raises(UnavailableError):
            await client.who_am_i()
    assert 0 < sum(server.slept) <= 1


async def test_a_log_is_followed_across_a_break(tmp_path: Path) -> None:
    def feed(*pieces: bytes | Exception) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream(*pieces))

    def log(offset: int, text: str, event_id: str) -> bytes:
        return sse("log", {"attempt": 1, "stream": "stdout", "offset": offset, "text": text}, event_id)

    away = problem(503, "unavailable")
    last = feed(log(2, "cd", "2"), sse("end", {"state": "succeeded"}, "3"))
    path = f"/v1/jobs/{JOB_ID}/logs"
    server = FakeServer().on("GET", path, feed(log(0, "abc", "1"), httpx.ReadError("reset")), away, last)
    async with client_of(server, tmp_path) as client:
        assert b"".join([chunk.data async for chunk in client.follow_log(JOB_ID)]) == b"abcd"
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "1", "1"]


async def test_files_travel_both_ways(tmp_path: Path) -> None:
    server = FakeServer()
    (tmp_path / "x").write_bytes(b"0123456789")
    async with client_of(server, tmp_path) as client:
        await client.upload(tmp_path / "x")
        await client.download("x", tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == b"0123456789"


async def test_a_cancelled_upload_stops(tmp_path: Path) -> None:
    server = FakeServer()
    (tmp_path / "x").write_bytes(bytes(100))
    started = asyncio.Event()
    canceled = threading.Event()
    loop = asyncio.get_running_loop()

    def slow(request: httpx.Request) -> httpx.Response:
        loop.call_soon_threadsafe(started.set)
        canceled.wait(30)  # the pauses are on paper: all tries would soon be over
        return httpx.Response(503)

    server.store.failures = {number: deque([slow] * 1000) for number in range(1, 26)}
    async with client_of(server, tmp_path) as client:
        task = asyncio.create_task(client.upload(tmp_path / "x"))
        await started.wait()
        task.cancel()
        loop.call_soon(canceled.set)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.store.parts == {}
