"""Figures and facts of the site: usage, its replay, backends, how every service fares."""

from __future__ import annotations

import asyncio
from datetime import datetime

from contracts.backends import BackendView, DrainBackend, GetBackend, ListBackends, ResumeBackend
from contracts.catalog import Catalog, ListApplications
from contracts.command import Command
from contracts.errors import ShunterError, UnavailableError
from contracts.queries import CheckHealth, Health, ReplayLog, SumUsage
from contracts.usage import GroupBy, ReplayReport, UsageSummary
from services.chassis.bus import Bus
from services.chassis.policy import require_operator

from .callers import Caller

__all__ = ["SERVICES", "SiteService", "UsageService", "ask_health"]

SERVICES = ("scheduler", "storage", "accounting")
"""Those that must answer for the gateway to be of use."""

_HEALTH_WITHIN = 4.0
_REPLAY_WITHIN = 600.0


class UsageService:
    """Asks accounting for one caller."""

    def __init__(self, *, bus: Bus, caller: Caller) -> None:
        self._bus = bus
        self._caller = caller

    async def sum(
        self,
        group_by: list[GroupBy],
        *,
        owner: str | None,
        project: str | None,
        backend: str | None,
        since: datetime | None,
        until: datetime | None,
    ) -> UsageSummary:
        """Sum up what was used."""
        query = SumUsage(
            principal=self._caller.principal,
            group_by=group_by,
            owner=owner,
            project=project,
            backend=backend,
            since=since,
            until=until,
        )
        summary: UsageSummary = await self._bus.ask(query)
        return summary

    async def replay(self) -> ReplayReport:
        """Have the figures rebuilt from the event log and compared."""
        query = ReplayLog(principal=self._caller.principal)
        report: ReplayReport = await self._bus.ask(query, timeout=_REPLAY_WITHIN)
        return report


class SiteService:
    """Asks for what belongs to the whole site."""

    def __init__(self, *, bus: Bus, caller: Caller, wait: float) -> None:
        self._bus = bus
        self._caller = caller
        self._wait = wait

    async def backends(self) -> list[BackendView]:
        """Return the backends and what is free on each."""
        found: list[BackendView] = await self._bus.ask(ListBackends(principal=self._caller.principal))
        return found

    async def backend(self, name: str) -> BackendView:
        """Return one backend."""
        found: BackendView = await self._bus.ask(GetBackend(principal=self._caller.principal, backend=name))
        return found

    async def drain(self, name: str, message: str) -> BackendView:
        """Have a backend given no new work."""
        return await self._order(DrainBackend(principal=self._caller.principal, backend=name, message=message))

    async def resume(self, name: str) -> BackendView:
        """Have a backend given work again."""
        return await self._order(ResumeBackend(principal=self._caller.principal, backend=name))

    async def _order(self, command: Command) -> BackendView:
        require_operator(self._caller.principal)
        view: BackendView | None = await self._bus.order(
            command, self._caller.context, wait=self._wait, answer=BackendView
        )
        if view is None:
            raise UnavailableError("the scheduler is away; the command is kept and will be handled", retry_after=2.0)
        return view

    async def applications(self) -> Catalog:
        """Return what can be started by its name."""
        found: Catalog = await self._bus.ask(ListApplications(principal=self._caller.principal))
        return found


async def ask_health(bus: Bus) -> list[Health]:
    """Ask every service how it fares, all at once."""
    return list(await asyncio.gather(*(_ask(bus, service) for service in SERVICES)))


async def _ask(bus: Bus, service: str) -> Health:
    try:
        health: Health = await bus.ask(CheckHealth(), service=service, timeout=_HEALTH_WITHIN)
    except ShunterError as error:
        return Health(service=service, ready=False, checks={service: error.detail})
    return health
