"""The worker of DECODE OpenCloud, played call by call, does our jobs, whatever goes wrong on either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.fault_proxy import run_proxy
from tests.support.job_fetcher import Cadence, JobFetcher
from tests.support.pull_site import PullSite, run_pull_site
from tests.support.pulling import poll
from tests.support.servers import S3

pytestmark = pytest.mark.asyncio(loop_scope="module")

_QUICK = Cadence(job=0.1, status=0.2, backoff=0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, temporal: str, s3: S3) -> AsyncIterator[PullSite]:
    async with run_pull_site(Path(tmp_path_factory.mktemp("fetched")), temporal, s3) as found:
        yield found


@asynccontextmanager
async def _fetching(site: PullSite, folder: Path, port: int | None = None) -> AsyncIterator[JobFetcher]:
    url = site.client.base_url if port is None else site.client.base_url.copy_with(port=port)
    fetcher = JobFetcher(f"{str(url).rstrip('/')}/decode-worker", "token-of-wim", folder, _QUICK)
    running = asyncio.create_task(asyncio.to_thread(fetcher.run))
    try:
        yield fetcher
    finally:
        fetcher.stop.set()
        await running


def _words(fetcher: JobFetcher) -> list[list[str]]:
    return [[status for _, status in said] for _, said in groupby(fetcher.said, key=lambda one: one[0])]


async def _wish(site: PullSite, name: str, script: str, **more: Any) -> str:
    outputs = [{"path": kind, "to": f"{area}/{name}", "required": False} for kind, area in _AREAS.items()]
    return await site.submit_any(script=script, image="decode:v1", outputs=outputs, **more)


_AREAS = {"model": "artifact", "out": "output"}


async def test_it_does_a_job_from_the_first_call_to_the_last(site: PullSite, tmp_path: Path) -> None:
    await site.keep("data/f1/deep/a.csv", b"3\n1\n")
    await site.keep("config/f1/param.yaml", b"2\n")
    job = await _wish(
        site,
        "f1",
        'cd /files; cat data/deep/a.csv config/param.yaml | sort > model/x.pt; echo "$SEED" > /files/out/seed',
        env={"SEED": "7"},
        inputs=[
            {"source": "data/f1", "path": "data", "folder": True},
            {"source": "config/f1", "path": "config", "folder": True},
        ],
    )
    async with _fetching(site, tmp_path) as fetcher:
        ended = await site.until(job)
        await poll(lambda: asyncio.to_thread(lambda: list(tmp_path.glob("[0-9]*/"))), lambda left: not left)
    assert (ended["state"], ended["exit_code"]) == ("succeeded", 0)
    (words,) = _words(fetcher)
    assert words[0] == "preprocessing"
    assert words[-2:] == ["postprocessing", "finished"]
    assert await site.read("artifact/f1/model/x.pt") == b"1\n2\n3\n"
    assert await site.read("output/f1/out/seed") == b"7\n"


async def test_a_job_that_fails_tells_the_end_of_its_log_and_brings_what_there_is(
    site: PullSite, tmp_path: Path
) -> None:
    job = await _wish(site, "f2", "echo half > /files/model/x.pt; seq 1000; echo boom >&2; exit 3")
    async with _fetching(site, tmp_path) as fetcher:
        ended = await site.until(job)
    (words,) = _words(fetcher)
    assert words[-3:] == ["error", "postprocessing", "error"]
    assert (ended["state"], ended["reason"]) == ("failed", "exited")
    assert ended["message"].startswith("Logs:\n")
    assert "boom" in ended["message"]
    assert await site.read("artifact/f2/model/x.pt") == b"half\n"


async def test_a_canceled_job_is_killed_at_the_next_word_and_the_next_one_is_done(
    site: PullSite, tmp_path: Path
) -> None:
    job = await _wish(site, "f3", "exec sleep 600")
    async with _fetching(site, tmp_path) as fetcher:
        await site.until(job, "running")
        (await site.ask("ada", "POST", f"/v1/jobs/{job}/cancel")).raise_for_status()
        assert (await site.until(job))["state"] == "canceled"
        next_one = await _wish(site, "f4", "true")
        assert (await site.until(next_one))["state"] == "succeeded"
        await poll(lambda: asyncio.to_thread(lambda: list(tmp_path.glob("[0-9]*/"))), lambda left: not left)
    assert len(fetcher.killed) == 1


async def test_a_job_for_whose_results_there_is_no_room_does_not_end_its_worker(site: PullSite, tmp_path: Path) -> None:
    await site.limit("artifact/f5", 10)
    job = await _wish(site, "f5", "head -c 100 /dev/zero > /files/model/x.pt")
    async with _fetching(site, tmp_path):
        ended = await site.until(job)
        assert (ended["state"], ended["reason"], ended["message"][:6]) == ("failed", "staging", "quota:")
        next_one = await _wish(site, "f6", "true")
        assert (await site.until(next_one))["state"] == "succeeded"


async def test_it_comes_through_answers_that_may_be_others_later(site: PullSite, tmp_path: Path) -> None:
    with run_proxy() as proxy:
        port = proxy.add("worker", site.client.base_url.port or 80)
        go = tmp_path / "go"
        job = await _wish(site, "f7", f"until [ -e {go} ]; do sleep 0.1; done; echo done > /files/out/done")
        async with _fetching(site, tmp_path, port) as fetcher:
            await site.until(job, "running")
            away = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            for _ in range(3):
                proxy.greet("worker", away)
            proxy.reset("worker")
            await poll(lambda: asyncio.sleep(0, proxy.links["worker"].greetings), lambda left: not left)
            go.touch()
            ended = await site.until(job)
        assert (ended["state"], ended["attempt"]) == ("succeeded", 1)
        assert await site.read("output/f7/out/done") == b"done\n"
    assert _words(fetcher)[0][-1] == "finished"
