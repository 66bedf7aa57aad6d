"""All of the site for tests of rights: the real scheduler, storage and gateway, and a runner that pretends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from contracts.files import UploadPlan
from contracts.principals import Principal
from contracts.queries import OpenRunUpload
from contracts.runs import LogChunk, Step, StepName
from contracts.states import Reason
from contracts.subjects import log_subject
from contracts.workloads import OutputFile
from services.chassis.bus import Bus
from tests.support.gateway import as_user, run_gateway
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import run_scheduler, scheduler_settings
from tests.support.servers import S3, run_nats
from tests.support.storage import User, digest_of, put_part, run_storage, run_ticket, storage_settings

__all__ = ["Listener", "SharedSite", "run_shared_site"]

_READY = 60.0


@dataclass(slots=True)
class Listener:
    """A stream of events that somebody listens to."""

    events: list[ServerSentEvent] = field(default_factory=list)
    status: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def said(self) -> list[tuple[str, str]]:
        """Return the types of the events, short, and what each is about."""
        found = [(event.event.removeprefix("org.shunter."), event.json()) for event in self.events]
        return [(kind.removesuffix(".v1"), body.get("data", {}).get("path", body["subject"])) for kind, body in found]


@dataclass(frozen=True, slots=True)
class SharedSite:
    """What a test speaks with."""

    client: httpx.AsyncClient
    bus: Bus
    runner: FakeRunner

    async def ask(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request in somebody's name."""
        headers = {**as_user(who), **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)

    async def get(self, who: str, path: str, status: int = 200) -> Any:
        """Look at something."""
        answer = await self.ask(who, "GET", path)
        assert answer.status_code == status, f"{who} {path}: {answer.status_code} {answer.text[:300]}"
        kind = answer.headers.get("content-type", "")
        return answer.json() if "json" in kind else answer.content

    async def submit(self, who: str, **spec: Any) -> str:
        """Submit a job; by default one that waits for a start."""
        answer = await self.ask(who, "POST", "/v1/jobs", json={"argv": ["true"], "hold": True, **spec})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def running(self, who: str) -> str:
        """Submit a job that runs until it is told to end."""
        job = await self.submit(who, argv=["sleep"], hold=False)
        async with asyncio.timeout(_READY):
            while f"{job}.1" not in self.runner.running:  # noqa: ASYNC110 (the runner does not tell)
                await asyncio.sleep(0.01)
        await self.client.get(f"/v1/jobs/{job}?wait=20&until=running", headers=as_user(who))
        return job

    async def share(self, who: str, job: str, grantee: str, right: str = "read") -> None:
        """Share a job."""
        answer = await self.ask(who, "PUT", f"/v1/jobs/{job}/grants/{grantee}", json={"right": right})
        assert answer.status_code in {200, 201}, answer.text

    async def unshare(self, who: str, job: str, grantee: str) -> None:
        """Take it back."""
        answer = await self.ask(who, "DELETE", f"/v1/jobs/{job}/grants/{grantee}")
        assert answer.status_code == 204, answer.text

    async def print(self, job: str, data: bytes, offset: int = 0) -> None:
        """Say what a job printed, as a runner does."""
        name = f"{job}-{offset}"
        await self.bus.publish(log_subject(job, 1, "stdout"), data, name, {LogChunk.OFFSET: str(offset)})

    async def keep(self, owner: str, path: str, data: bytes) -> None:
        """Bring a file."""
        await User(self.bus, Principal(subject=owner)).put(path, data)

    async def end(self, who: str, job: str, **files: bytes) -> None:
        """Let a running job end and leave files behind."""
        user, outputs = User(self.bus, Principal(subject=who)), []
        for name, data in files.items():
            digest, path = digest_of(data), f"outputs/{name}"
            wish = OpenRunUpload(ticket=run_ticket(who, job), path=path, size=len(data), sha256=digest)
            plan: UploadPlan = await user.ask(wish)
            await user.complete(plan, [await put_part(part, data) for part in plan.parts])
            outputs.append(OutputFile(path=path, size=len(data), sha256=digest))
        task = self.runner.running.pop(f"{job}.1")
        exited, done = self.runner.end_of(Outcome(reason=Reason.EXITED))
        done = Step.model_validate({**dict(done), "step": StepName.DONE, "outputs": outputs})
        await self.runner.report(task, exited, done)
        await self.client.get(f"/v1/jobs/{job}?wait=20", headers=as_user(who))

    @asynccontextmanager
    async def listening(self, who: str, path: str) -> AsyncIterator[Listener]:
        """Listen to a stream while the block runs."""
        listener = Listener()
        headers = {**as_user(who), "Accept": "text/event-stream"}
        if path.startswith("/v1/events") and "since" not in path:  # the head comes before the gateway listens
            last = (await self.bus.jetstream.stream_info("EVENTS")).state.last_seq
            path += f"{'&' if '?' in path else '?'}since_sequence={last + 1}"

        async def listen() -> None:
            async with aconnect_sse(self.client, "GET", path, headers=headers) as source:
                listener.status = source.response.status_code
                with suppress(httpx.HTTPError):
                    async for event in source.aiter_sse():
                        listener.events.append(event)
            listener.ended.set()

        task = asyncio.create_task(listen())
        try:
            async with asyncio.timeout(_READY):
                while not listener.status and not task.done():  # noqa: ASYNC110 (httpx does not tell)
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            yield listener
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def run_shared_site(folder: Path, temporal: str, s3: S3) -> AsyncIterator[SharedSite]:
    """Run all of it in this process."""
    async with run_nats(folder) as nats:
        runner = FakeRunner(nats)
        runner.decide = lambda task: Outcome(exit_code=None if task.argv == ["sleep"] else 0)
        scheduler = scheduler_settings(folder / "scheduler", nats, temporal, every=0.1, silence=60)
        storage = storage_settings(folder / "storage", nats, s3)
        async with run_storage(storage) as bus, run_scheduler(scheduler), run_gateway(nats) as (client, _):
            await runner.start()
            site = SharedSite(client, bus, runner)
            async with asyncio.timeout(_READY):
                while (await site.ask("ada", "GET", "/v1/jobs")).status_code != 200:  # noqa: ASYNC110 (it starts)
                    await asyncio.sleep(0.05)
            yield site
            await runner.stop()
