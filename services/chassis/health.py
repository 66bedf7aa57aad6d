"""Health, readiness and metrics of a service, over HTTP and over NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.queries import Health

__all__ = ["Check", "HealthBook", "health_app", "shunter_version"]

Check = Callable[[], Awaitable[object]]
"""Asks one dependency; raises when it is not well."""

_PATIENCE = 3.0
"""Seconds that a dependency has to answer."""


def shunter_version() -> str:
    """Return the version that runs."""
    try:
        return version("shunter")
    except PackageNotFoundError:
        return "unknown"


class HealthBook:
    """The dependencies of a service, and whether it takes work."""

    def __init__(self, service: str, checks: Mapping[str, Check] | None = None, *, patience: float = _PATIENCE) -> None:
        self._service = service
        self._checks = dict(checks or {})
        self._patience = patience
        self.draining = False

    def add(self, name: str, check: Check) -> None:
        """Name a dependency."""
        self._checks[name] = check

    async def look(self) -> Health:
        """Ask every dependency, all at once."""
        outcomes = await asyncio.gather(*(self._ask(check) for check in self._checks.values()))
        checks = dict(zip(self._checks, outcomes, strict=True))
        if self.draining:
            checks["drain"] = "the service is stopping"
        ready = all(outcome == "ok" for outcome in checks.values())
        return Health(service=self._service, ready=ready, checks=checks, version=shunter_version())

    async def _ask(self, check: Check) -> str:
        try:
            async with asyncio.timeout(self._patience):
                await check()
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the answer)
            return f"{type(error).__name__}: {error}"[:200]
        return "ok"


def health_app(book: HealthBook) -> Starlette:
    """Return `/healthz` (the process lives), `/readyz` (it can work) and `/metrics` (Prometheus)."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        health = await book.look()
        return JSONResponse(health.model_dump(mode="json"), status_code=200 if health.ready else 503)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])
