"""A hundred users who start jobs, all at once: nobody is refused, and nothing runs twice.

Five each; twenty, as the original was tried with, by `SHUNTER_TEST_JOBS=20`, which takes a minute.

The original held its database's one write transaction over a call to another service, and lost seven of ten.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

import httpx
import yaml

from contracts.principals import Level, Principal
from services.gateway.settings import IdentitySettings, StaticUser
from tests.support.decode import job
from tests.support.gateway import run_gateway
from tests.support.pulling import poll
from tests.support.runner import FakeRunner
from tests.support.scheduler import run_scheduler, scheduler_settings
from tests.support.servers import S3, run_nats
from tests.support.storage import User, run_storage, storage_settings

_USERS, _JOBS = 100, int(os.environ.get("SHUNTER_TEST_JOBS", "5"))
_CATALOG = {
    "curve": {
        "v1": {
            "fit": {
                "app": {"cmd": ["true"]},
                "handler": {"files_down": {"config_id": "config", "data_ids": "data", "artifact_ids": "artifact"}},
            }
        }
    }
}


def _bearer(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer token-{number}"}


def _identity() -> IdentitySettings:
    users = [
        StaticUser(
            subject=f"user{number}",
            token_sha256=sha256(f"token-{number}".encode()).hexdigest(),
            projects={"decode-users": Level.MEMBER},
        )
        for number in range(_USERS)
    ]
    return IdentitySettings(local=False, users=users)


@asynccontextmanager
async def _site(folder: Path, temporal: str, s3: S3) -> AsyncIterator[tuple[httpx.AsyncClient, FakeRunner]]:
    async with run_nats(folder) as nats:
        runner = FakeRunner(nats)
        scheduler = scheduler_settings(folder / "scheduler", nats, temporal, every=1.0, silence=120)
        (folder / "scheduler").mkdir(parents=True)
        (folder / "scheduler" / scheduler.scheduler.applications.file).write_text(yaml.safe_dump(_CATALOG))
        storage = storage_settings(folder / "storage", nats, s3)
        async with (
            run_storage(storage) as bus,
            run_scheduler(scheduler),
            run_gateway(nats, identity=_identity(), submit_wait=60) as (client, _),
        ):
            await runner.start()
            for number in range(_USERS):
                user = User(bus, Principal(subject=f"user{number}"))
                for path in ("config/c1/param.yaml", "data/d1/points.txt"):
                    await user.put(path, b"x")
            await poll(lambda: client.get("/v1/jobs", headers=_bearer(0)), lambda answer: answer.status_code == 200)
            yield client, runner
            await runner.stop()


async def _start_all(url: httpx.URL, number: int) -> Sequence[httpx.Response]:
    """Start a user's jobs, one after the other on a connection of their own."""
    async with httpx.AsyncClient(base_url=url, headers=_bearer(number), trust_env=False, timeout=120) as client:
        return [await client.post("/decode/jobs", json=job(f"job{place}", "curve/v1/fit")) for place in range(_JOBS)]


async def _ended(client: httpx.AsyncClient, number: int) -> Counter[str]:
    answer = await client.get("/decode/jobs?limit=-1", headers=_bearer(number))
    return Counter(found["status"] for found in answer.raise_for_status().json())


async def test_a_hundred_users_start_jobs_at_once(tmp_path: Path, temporal: str, s3: S3) -> None:
    async with _site(tmp_path, temporal, s3) as (client, runner):
        answers = await asyncio.gather(*(_start_all(client.base_url, number) for number in range(_USERS)))
        assert Counter(answer.status_code for some in answers for answer in some) == {201: _USERS * _JOBS}
        assert len({answer.json()["id"] for some in answers for answer in some}) == _USERS * _JOBS
        for number in range(_USERS):
            await poll(partial(_ended, client, number), lambda found: found == {"finished": _JOBS}, seconds=180)
        ran = Counter(task.workload_id for task in runner.tasks)
        assert len(ran) == _USERS * _JOBS
        assert set(ran.values()) == {1}
