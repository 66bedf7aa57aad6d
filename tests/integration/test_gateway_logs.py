"""The output of jobs: whole, by range, and as it grows, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from contracts.ids import workload_id
from contracts.model import now
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from contracts.workloads import Workload
from tests.support.gateway import Site, Stand, as_user, run_gateway
from tests.support.ticks import ticking

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA = as_user("ada")
BINARY = random.Random(7).randbytes(700_001)


@dataclass
class Followed:
    """What a follower was told."""

    parts: dict[tuple[int, str], bytearray] = field(default_factory=dict)
    last_id: str = ""
    end: dict[str, Any] | None = None
    keys: list[tuple[int, str]] = field(default_factory=list)

    def add(self, said: dict[str, Any]) -> None:
        key = (said["attempt"], said["stream"])
        part = self.parts.setdefault(key, bytearray())
        assert said["offset"] == len(part), "a byte was lost or told twice"
        part += said["text"].encode() if "text" in said else base64.b64decode(said["base64"])
        if not self.keys or self.keys[-1] != key:
            self.keys.append(key)


def _job(site: Site, *, state: WorkloadState = WorkloadState.RUNNING, attempt: int = 1) -> str:
    job_id = workload_id()
    site.workloads[job_id] = Workload(
        id=job_id,
        owner="ada",
        spec=JobSpec(argv=["true"]),
        state=state,
        reason=Reason.STARTED,
        attempt=attempt,
        created_at=now(),
        updated_at=now(),
    )
    return job_id


async def _follow(client: httpx.AsyncClient, job_id: str, seen: Followed, *, events: int = 0, query: str = "") -> None:
    """Follow to the end, or hang up after so many *events*."""
    headers = {**ADA, **({"Last-Event-ID": seen.last_id} if seen.last_id else {})}
    count = 0
    async with aconnect_sse(client, "GET", f"/v1/jobs/{job_id}/logs?follow=true{query}", headers=headers) as source:
        async for event in source.aiter_sse():
            seen.last_id = event.id
            if event.event == "end":
                seen.end = event.json()
            else:
                seen.add(event.json())
            count += 1
            if count == events:
                return


async def _print_all(site: Site, job_id: str, data: bytes, size: int, stream: str = "stdout", attempt: int = 1) -> None:
    for offset in range(0, len(data), size):
        await site.print(job_id, data[offset : offset + size], offset=offset, stream=stream, attempt=attempt)


async def test_a_growing_log_is_read_whole_and_by_range(site: Site, client: httpx.AsyncClient) -> None:
    job_id = _job(site)
    empty = await client.get(f"/v1/jobs/{job_id}/logs", headers=ADA)
    assert (empty.status_code, empty.content) == (200, b"")
    await _print_all(site, _job(site), b"somebody else's", 3)
    await _print_all(site, job_id, BINARY, 4096)
    await site.print(job_id, b"oops\xff", offset=0, stream="stderr")
    whole = await client.get(f"/v1/jobs/{job_id}/logs", headers=ADA)
    assert whole.content == BINARY
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert (await client.get(f"/v1/jobs/{job_id}/logs?stream=stderr", headers=ADA)).content == b"oops\xff"
    size = len(BINARY)
    for wanted, start, end in (("0-9", 0, 10), ("650000-", 650_000, size), ("-77", size - 77, size), ("9-9", 9, 10)):
        part = await client.get(f"/v1/jobs/{job_id}/logs", headers={**ADA, "Range": f"bytes={wanted}"})
        assert (part.status_code, part.content) == (206, BINARY[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = await client.get(f"/v1/jobs/{job_id}/logs", headers={**ADA, "Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert beyond.headers["content-type"] == "application/problem+json"
    assert (await client.get(f"/v1/jobs/{job_id}/logs?attempt=2", headers=ADA)).status_code == 404


async def test_a_log_that_outgrew_what_is_kept_begins_later(site: Site, client: httpx.AsyncClient) -> None:
    job_id, seen = _job(site), Followed(parts={(1, "stdout"): bytearray(100)})
    await site.print(job_id, b"kept", offset=100)
    whole = await client.get(f"/v1/jobs/{job_id}/logs", headers=ADA)
    assert (whole.status_code, whole.content, whole.headers["shunter-log-begins"]) == (200, b"kept", "100")
    part = await client.get(f"/v1/jobs/{job_id}/logs", headers={**ADA, "Range": "bytes=50-101"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"ke", "bytes 100-101/104")
    gone = await client.get(f"/v1/jobs/{job_id}/logs", headers={**ADA, "Range": "bytes=0-99"})
    assert gone.status_code == 416
    await _follow(client, job_id, seen, events=1)
    assert seen.parts[1, "stdout"][100:] == b"kept"


async def test_an_archived_log_is_read_from_the_store(site: Site, client: httpx.AsyncClient) -> None:
    job_id = _job(site)
    log = site.archive(job_id, "logs/1/stdout", BINARY)
    await site.move(job_id, WorkloadState.SUCCEEDED, logs=[log])
    assert (await client.get(f"/v1/jobs/{job_id}/logs", headers=ADA)).content == BINARY
    part = await client.get(f"/v1/jobs/{job_id}/logs", headers={**ADA, "Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, BINARY[5:10])


async def test_a_follower_hears_everything_once_however_often_it_comes_back(
    site: Site, client: httpx.AsyncClient
) -> None:
    job_id, seen = _job(site), Followed()

    async def work() -> None:
        for offset in range(0, len(BINARY), 9973):
            await site.print(job_id, BINARY[offset : offset + 9973], offset=offset)
            if offset % 4 == 0:
                text = f"step {offset:>9} ✓\n".encode()
                await site.print(job_id, text, offset=len(text) * (offset // 9973 // 4), stream="stderr")
        await site.move(job_id, WorkloadState.SUCCEEDED, exit_code=0)

    working = asyncio.create_task(work())
    while seen.end is None:
        await _follow(client, job_id, seen, events=7)
    await working
    assert seen.parts[1, "stdout"] == BINARY
    assert seen.parts[1, "stderr"].decode().count("✓") == len(range(0, len(BINARY), 9973 * 4))
    assert seen.end == {"state": "succeeded", "exit_code": 0}
    await _follow(client, job_id, again := Followed(last_id=seen.last_id))
    assert (again.parts, again.end) == ({}, seen.end)


async def test_a_chunk_that_is_told_again_overlapping_is_cut(site: Site, client: httpx.AsyncClient) -> None:
    job_id, seen = _job(site), Followed()
    await site.print(job_id, b"abcdef", offset=0)
    await site.print(job_id, b"defghi", offset=3)
    await site.print(job_id, b"gh", offset=6)
    await site.move(job_id, WorkloadState.SUCCEEDED)
    await _follow(client, job_id, seen)
    assert seen.parts == {(1, "stdout"): b"abcdefghi"}


async def test_new_attempts_are_followed_and_one_stream_can_be_chosen(site: Site, client: httpx.AsyncClient) -> None:
    job_id, seen, errors = _job(site), Followed(), Followed()
    following = asyncio.create_task(_follow(client, job_id, seen))
    only = asyncio.create_task(_follow(client, job_id, errors, query="&stream=stderr"))
    await site.print(job_id, b"first", offset=0)
    await site.move(job_id, WorkloadState.QUEUED, attempt=2)
    await site.print(job_id, b"second", offset=0, attempt=2)
    await site.print(job_id, b"late", offset=5, attempt=1)
    await site.print(job_id, b"bad", offset=0, attempt=2, stream="stderr")
    await site.move(job_id, WorkloadState.FAILED, exit_code=3)
    await asyncio.gather(following, only)
    assert seen.parts == {(1, "stdout"): b"firstlate", (2, "stdout"): b"second", (2, "stderr"): b"bad"}
    assert errors.parts == {(2, "stderr"): b"bad"}
    assert seen.end == errors.end == {"state": "failed", "exit_code": 3}


async def test_what_the_stream_has_no_more_comes_from_the_archive(site: Site, client: httpx.AsyncClient) -> None:
    job_id = _job(site, attempt=2)
    logs = [
        site.archive(job_id, "logs/1/stdout", b"one " * 1000),
        site.archive(job_id, "logs/2/stdout", BINARY),
        site.archive(job_id, "logs/2/stderr", b"err"),
    ]
    await site.print(job_id, BINARY[1000:2000], offset=1000, attempt=2)
    await site.move(job_id, WorkloadState.SUCCEEDED, logs=logs)
    seen = Followed()
    while seen.end is None:
        await _follow(client, job_id, seen, events=2)
    assert seen.parts == {(1, "stdout"): b"one " * 1000, (2, "stdout"): BINARY, (2, "stderr"): b"err"}
    assert seen.keys == [(1, "stdout"), (2, "stdout"), (2, "stderr")]


async def test_a_listener_that_hangs_up_leaves_nothing_behind(site: Site, client: httpx.AsyncClient) -> None:
    job_id = _job(site)
    await site.print(job_id, b"abc", offset=0)
    for _ in range(3):
        await _follow(client, job_id, Followed(), events=1)
    async with asyncio.timeout(5):
        while (await site.scheduler.jetstream.stream_info("LOGS")).state.consumer_count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_forged_position_is_refused(site: Site, client: httpx.AsyncClient) -> None:
    job_id = _job(site)
    for forged in ("x", "1.2.3", "1.2.3.-4", "9" * 40):
        answer = await client.get(f"/v1/jobs/{job_id}/logs?follow=true", headers={**ADA, "Last-Event-ID": forged})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "Last-Event-ID")


async def test_following_ends_without_an_end_when_the_gateway_stops(stand: Stand, site: Site) -> None:
    async with run_gateway(stand.nats) as (client, process):
        job_id, seen = _job(site), Followed()
        await site.print(job_id, b"abc", offset=0)
        following = asyncio.create_task(_follow(client, job_id, seen))
        async with asyncio.timeout(5):
            while not seen.parts:  # noqa: ASYNC110 (the follower is at the other end of a connection)
                await asyncio.sleep(0.005)
        process.closing.set()
        async with ticking() as passed, asyncio.timeout(10):
            await following
            assert passed() < 2
        assert seen.end is None


@pytest.mark.slow
async def test_a_log_is_followed_at_twenty_megabytes_a_second(site: Site, client: httpx.AsyncClient) -> None:
    """Covers alone that following keeps up with a job that prints a lot."""
    job_id, seen = _job(site), Followed()
    chunk = ("x" * 127 + "\n").encode() * 2048
    for number in range(160):
        await site.print(job_id, chunk, offset=number * len(chunk))
    await site.move(job_id, WorkloadState.SUCCEEDED)
    began = time.perf_counter()
    total = 0
    async with client.stream("GET", f"/v1/jobs/{job_id}/logs?follow=true", headers=ADA) as answer:
        async for piece in answer.aiter_raw():
            total += len(piece)
    rate = 160 * len(chunk) / (time.perf_counter() - began) / 1e6
    assert total > 160 * len(chunk)
    assert seen.end is None
    assert rate > 20
