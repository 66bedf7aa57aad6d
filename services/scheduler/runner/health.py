"""Health, readiness and metrics of the runner, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from .link import Link
from .runner import Runner
from .settings import Server

__all__ = ["health_app", "serve_http"]


def health_app(*, link: Link, runner: Runner) -> Starlette:
    """Return `/healthz` (the process lives), `/readyz` (tasks can come) and `/metrics` (Prometheus)."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        nats = "ok" if link.is_up else "not connected"
        queue = "ok" if runner.queue.is_ready else "the queue of tasks is not there"
        ready = nats == queue == "ok"
        health = {"service": "runner", "ready": ready, "checks": {"nats": nats, "queue": queue}}
        return JSONResponse(health, status_code=200 if ready else 503)

    async def metrics(_request: Request) -> Response:
        return PlainTextResponse(_metrics(runner), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


def _metrics(runner: Runner) -> str:
    # Loaded when first asked for: most runners never are.
    from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

    registry = CollectorRegistry()
    capacity = runner.capacity().model_dump(exclude={"gpu_models"})
    for name, value in capacity.items():
        Gauge(f"shunter_runner_{name}", f"Of this runner: {name.replace('_', ' ')}", registry=registry).set(value)
    ended = Counter("shunter_runner_runs", "Attempts that ended, by reason", ["reason"], registry=registry)
    for reason, count in runner.finished.items():
        ended.labels(reason).inc(count)
    return generate_latest(registry).decode()


@asynccontextmanager
async def serve_http(app: Starlette, server: Server) -> AsyncIterator[None]:
    """Serve while the block runs."""
    config = uvicorn.Config(
        app,
        host=server.host,
        port=server.port,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    http = uvicorn.Server(config)
    serving = asyncio.create_task(http._serve())  # noqa: SLF001 (`serve` takes the signals, which are ours)
    while not http.started:
        if serving.done():
            serving.result()
            raise RuntimeError(f"could not listen on {server.host}:{server.port}")
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        http.should_exit = True
        await serving
