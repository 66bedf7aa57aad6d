"""What is behind a gateway: small services on a real NATS that hold their answers in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256

from starlette.applications import Starlette
from starlette.routing import Route

from contracts.model import now
from contracts.queries import (
    CheckHealth,
    ReplayLog,
    SumUsage,
)
from contracts.usage import ReplayReport, UsageFigures, UsageRow, UsageSummary
from contracts.workloads import OutputFile
from services.chassis.bus import Bus
from services.chassis.http import serve_http
from services.chassis.settings import NatsSettings, Server
from tests.support.servers import free_ports

from .site_scheduler import SmallScheduler
from .site_storage import SmallStorage
from .site_unknown import well

__all__ = ["Site", "run_site"]


@dataclass(kw_only=True)
class Site(SmallScheduler, SmallStorage):
    """The scheduler, storage, accounting and the object store, as far as the gateway can tell."""

    accounting: Bus

    def forget(self) -> Site:
        """Begin anew, so that many tests can share one site."""
        for memory in (self.workloads, self.hashes, self.files, self.objects, self.asked):
            memory.clear()
        self.breaks = 0
        return self

    def archive(self, job_id: str, name: str, data: bytes) -> OutputFile:
        """Keep a file that a job left behind."""
        owner = self.workloads[job_id].owner
        self.keep(owner, f"jobs/{job_id}/{name}", data)
        return OutputFile(path=name, size=len(data), sha256=sha256(data).hexdigest())

    async def usage(self, query: SumUsage) -> UsageSummary:
        self.asked.append(query)
        figures = UsageFigures(segments=1, cpu_hours=0.5)
        return UsageSummary(rows=[UsageRow(owner=query.principal.subject, figures=figures)], total=figures)

    async def replay(self, _query: ReplayLog) -> ReplayReport:
        empty = UsageSummary(rows=[], total=UsageFigures())
        return ReplayReport(
            equal=True, events=0, last_sequence=0, seconds=0.0, live=empty, replayed=empty, started_at=now()
        )

    async def start_others(self) -> None:
        """Begin to answer as storage and accounting."""
        self.accounting.answer_queries({SumUsage: self.usage, ReplayLog: self.replay, CheckHealth: well("accounting")})
        await asyncio.gather(self.start_storage(), self.accounting.start())


@asynccontextmanager
async def run_site(nats: NatsSettings, *, scheduler: bool = True) -> AsyncIterator[Site]:
    """Run the services behind the gateway; without *scheduler* it is away until it is started."""
    site = Site(scheduler=Bus(nats, "scheduler"), storage=Bus(nats, "storage"), accounting=Bus(nats, "accounting"))
    async with AsyncExitStack() as stack:
        for bus in (site.scheduler, site.storage, site.accounting):
            await bus.connect()
            stack.push_async_callback(bus.stop)
        (port,) = free_ports(1)
        app = Starlette(routes=[Route("/{key:path}", site.store, methods=["GET", "PUT"])])
        await stack.enter_async_context(serve_http(app, Server(port=port)))
        site.store_url = f"http://127.0.0.1:{port}"
        await site.start_others()
        if scheduler:
            await site.start_scheduler()
        yield site
