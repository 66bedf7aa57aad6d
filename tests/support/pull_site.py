"""A whole site with a pull backend: the real scheduler, storage and gateway, for tests of outside workers over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from contracts.principals import Level
from services.gateway.settings import IdentitySettings, StaticUser
from services.scheduler.settings import BackendSettings, PullSettings
from tests.support.gateway import run_gateway
from tests.support.pulling import poll
from tests.support.scheduler import run_scheduler, scheduler_settings
from tests.support.servers import S3, run_nats
from tests.support.storage import run_storage, storage_settings

__all__ = ["LEASE", "PullSite", "bearer", "run_pull_site"]

LEASE = 3.0
"""Seconds of silence that a worker may keep here."""

_PROJECTS = {
    "ada": ["decode-users"],
    "wim": ["decode-workers"],
    "wes": ["decode-workers"],
    "zoe": ["decode-workers", "decode-cloud"],
    "eve": ["other"],
    "nil": [],
}


def bearer(name: str) -> dict[str, str]:
    """Return the headers of a request of somebody's."""
    return {"Authorization": f"Bearer token-of-{name}"}


def _users() -> list[StaticUser]:
    return [
        StaticUser(
            subject=name,
            token_sha256=sha256(f"token-of-{name}".encode()).hexdigest(),
            projects=dict.fromkeys(projects, Level.MEMBER),
        )
        for name, projects in _PROJECTS.items()
    ]


@dataclass(frozen=True, slots=True)
class PullSite:
    """What a test speaks with."""

    client: httpx.AsyncClient
    pull: PullSettings
    """Those that the scheduler goes by; a test may change them for a while."""

    async def ask(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request in somebody's name."""
        return await self.client.request(method, path, headers={**bearer(who), **more.pop("headers", {})}, **more)

    async def keep(self, path: str, data: bytes) -> None:
        """Bring a file of Ada's."""
        (await self.ask("ada", "PUT", f"/v1/files/{path}", content=data)).raise_for_status()

    async def submit(self, **spec: Any) -> str:
        """Submit a job of Ada's, and wait until it lies in the queue."""
        job = await self.submit_any(**spec)
        await self.until(job, "queued")
        return job

    async def submit_any(self, **spec: Any) -> str:
        """Submit a job of Ada's; somebody may take it at once."""
        program = {} if "script" in spec else {"argv": ["true"]}
        spec = {**program, "placement": {"backend": "pull"}, **spec}
        made = await self.ask("ada", "POST", "/v1/jobs", json=spec)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def job(self, job: str) -> dict[str, Any]:
        """Look at a job."""
        found: dict[str, Any] = (await self.ask("ada", "GET", f"/v1/jobs/{job}")).raise_for_status().json()
        return found

    async def until(self, job: str, *states: str) -> dict[str, Any]:
        """Wait until a job stands in one of *states*, by default until it has ended."""
        ends = states or ("succeeded", "failed", "canceled", "lost")
        return await poll(lambda: self.job(job), lambda found: found["state"] in ends, seconds=40)

    async def limit(self, folder: str, quota: int) -> None:
        """Say what a folder of Ada's may come to."""
        said = await self.ask("ada", "PUT", "/v1/folder-rules", params={"folder": folder}, json={"quota": quota})
        said.raise_for_status()

    async def used(self) -> dict[str, Any]:
        """Return what Ada's files come to."""
        found: dict[str, Any] = (await self.ask("ada", "GET", "/v1/storage")).raise_for_status().json()
        return found

    async def read(self, path: str) -> bytes:
        """Return a file of Ada's."""
        return (await self.ask("ada", "GET", f"/v1/files/{path}")).raise_for_status().content


@asynccontextmanager
async def run_pull_site(folder: Path, temporal: str, s3: S3) -> AsyncIterator[PullSite]:
    """Run all of it in this process."""
    async with run_nats(folder) as nats:
        scheduler = scheduler_settings(folder / "scheduler", nats, temporal, every=0.1, silence=60)
        pull = PullSettings(
            workers=["decode-workers"], environments={"decode-cloud": "cloud"}, lease=LEASE, look=0.1, alive=30
        )
        backends = [BackendSettings(), BackendSettings(name="pull", kind="pull", pull=pull)]
        section = scheduler.scheduler.model_copy(update={"backends": backends})
        scheduler = scheduler.model_copy(update={"scheduler": section})
        identity = IdentitySettings(local=False, users=_users())
        storage = storage_settings(folder / "storage", nats, s3)
        worker: dict[str, Any] = {"decode_worker": {"wait": 0.2}}
        async with (
            run_storage(storage),
            run_scheduler(scheduler),
            run_gateway(nats, identity=identity, dialects=worker) as (client, _),
        ):
            site = PullSite(client, pull)
            await poll(lambda: site.ask("ada", "GET", "/v1/jobs"), lambda answer: answer.status_code == 200)
            yield site
