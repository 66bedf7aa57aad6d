"""A gateway on a real NATS, for tests: its users, its client, and what is behind it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
from pydantic import JsonValue, SecretStr

from contracts.principals import Level, Role
from services.chassis.http import serve_http
from services.chassis.service import Frame, open_frame
from services.chassis.settings import NatsSettings, Server, Tls
from services.chassis.unit import EVENT_SINK
from services.gateway.app import create_app
from services.gateway.auth.desk import TokenDesk
from services.gateway.factory import Process
from services.gateway.guard.settings import GuardSettings
from services.gateway.main import open_process
from services.gateway.settings import CorsSettings, GatewaySection, GatewaySettings, IdentitySettings, StaticUser
from services.gateway.tables import METADATA
from tests.support.databases import bring_schema
from tests.support.databases import database_url as url_of
from tests.support.servers import free_ports, run_nats
from tests.support.site import Site, run_site

__all__ = ["TOKENS", "Site", "Stand", "as_user", "identity_settings", "run_gateway", "run_site", "run_stand"]

TOKENS = {
    "ada": "token-of-ada",
    "bob": "token-of-bob",
    "eve": "token-of-eve",
    "aud": "token-of-aud",
    "root": "token-of-root",
}
"""Ada and Bob are in the project vision, Bob as its admin; Eve is in none; Aud may read all, Root steer all."""


def as_user(name: str) -> dict[str, str]:
    """Return the headers of a request of somebody's."""
    return {"Authorization": f"Bearer {TOKENS[name]}"}


def _users() -> list[StaticUser]:
    digests = {name: sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
    return [
        StaticUser(subject="ada", token_sha256=digests["ada"], projects={"vision": Level.MEMBER}),
        StaticUser(subject="bob", token_sha256=digests["bob"], projects={"vision": Level.ADMIN}),
        StaticUser(subject="eve", token_sha256=digests["eve"]),
        StaticUser(subject="aud", token_sha256=digests["aud"], roles=frozenset({Role.AUDITOR})),
        StaticUser(subject="root", token_sha256=digests["root"], roles=frozenset({Role.ADMIN})),
    ]


def identity_settings(**more: Any) -> IdentitySettings:
    """Return settings with the users that tests know."""
    return IdentitySettings(**{"local": False, "users": _users(), **more})


@asynccontextmanager
async def run_gateway(
    nats: NatsSettings,
    *,
    local: bool = False,
    submit_wait: float = 15.0,
    max_body: int = 12 << 20,
    body_wait: float = 30.0,
    dialects: dict[str, dict[str, JsonValue]] | None = None,
    tokens: TokenDesk | None = None,
    data: Path | None = None,
    database_url: str | None = None,
    identity: IdentitySettings | None = None,
    tls: Tls | None = None,
    socket: Path | None = None,
    limits: GuardSettings | None = None,
    cors: CorsSettings | None = None,
) -> AsyncIterator[tuple[httpx.AsyncClient, Process]]:
    """Run the gateway on a port of its own; the client reaches it without credentials.

    *data* is for those who need it again: another gateway on the same folder knows the same users.
    """
    with tempfile.TemporaryDirectory(prefix="shunter-gateway-") as folder:
        (port,) = free_ports(1)
        section = GatewaySection(
            listen=Server(port=port, tls=tls, socket=socket),
            submit_wait=submit_wait,
            max_body=max_body,
            body_wait=body_wait,
            temporal_ui="http://127.0.0.1:8233",
            database_url=database_url or url_of(data or Path(folder), "gateway") or None,
            identity=identity or identity_settings(local=local),
            dialects=dialects or {},
            limits=limits or GuardSettings(),
            cors=cors or CorsSettings(),
        )
        settings = GatewaySettings(
            data=data or Path(folder), nats=nats, gateway=section, ticket_key=SecretStr("k" * 40)
        )
        settings.log.level = "warning"
        if database_url is None:
            await bring_schema("gateway", settings.database_url)
        async with (
            open_frame("gateway", settings, database_url=settings.database_url, metadata=METADATA) as frame,
            open_process(frame, settings) as made,
            _working(frame),
        ):
            process = made if tokens is None else replace(made, tokens=tokens)
            url = f"http://127.0.0.1:{port}"
            async with serve_http(create_app(process), section.listen):
                async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
                    yield client, process
                process.closing.set()


@asynccontextmanager
async def _working(frame: Frame) -> AsyncIterator[None]:
    """Have the frame do what it does while it serves, without its signals."""
    assert frame._relay
    await frame._relay.start({EVENT_SINK: frame.bus.send_row})
    await frame.bus.start()
    try:
        yield
    finally:
        await frame.drain()


@dataclass(frozen=True, slots=True)
class Stand:
    """A gateway and what is behind it."""

    nats: NatsSettings
    site: Site
    client: httpx.AsyncClient
    process: Process


@asynccontextmanager
async def run_stand(folder: Path, *, max_body: int = 12 << 20, body_wait: float = 30.0) -> AsyncIterator[Stand]:
    """Run a NATS, the services and a gateway, for all tests of a file: that is most of what each would cost."""
    async with (
        run_nats(folder) as nats,
        run_site(nats) as site,
        run_gateway(nats, max_body=max_body, body_wait=body_wait) as (client, process),
    ):
        yield Stand(nats, site, client, process)
