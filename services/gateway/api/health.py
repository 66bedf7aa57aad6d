"""`/healthz`, `/readyz`, `/metrics`: for operators and their machines; open to everybody."""

from __future__ import annotations

from fastapi import Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from contracts.queries import Health
from services.gateway.figures import ask_health
from services.gateway.lean import Router

from . import examples
from .answers import json_answer
from .context import process_of

__all__ = ["Readiness", "router"]

router = Router(tags=["operations"])


class Readiness(Health):
    """How the gateway and every service fares."""

    services: list[Health] = []


def _example(value: object, media_type: str = "application/json") -> dict[str, object]:
    return {"content": {media_type: {"example": value}}}


@router.get(
    "/healthz",
    summary="Say that the process lives",
    operation_id="healthz",
    responses={200: _example({"status": "ok"})},
)
async def healthz() -> JSONResponse:
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    summary="Say whether the gateway and every service can work",
    operation_id="readyz",
    response_model=Readiness,
    responses={
        200: _example(examples.READY),
        503: {"description": "Something is not ready.", "model": Readiness, **_example(examples.READY)},
    },
)
async def readyz(request: Request) -> Response:
    process = process_of(request)
    own = await process.health.look()
    services = await ask_health(process.bus)
    checks = {**own.checks, **{item.service: _word(item) for item in services}}
    ready = own.ready and all(item.ready for item in services)
    view = Readiness(service=own.service, ready=ready, checks=checks, version=own.version, services=services)
    return json_answer(view, status=200 if ready else 503)


@router.get(
    "/metrics",
    summary="Give the figures of this process to Prometheus",
    operation_id="metrics",
    response_class=Response,
    responses={200: _example("# HELP shunter_http_requests_total Requests\n", "text/plain")},
)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _word(health: Health) -> str:
    bad = [f"{name}: {outcome}" for name, outcome in health.checks.items() if outcome != "ok"]
    return "ok" if health.ready else "; ".join(bad) or "not ready"
