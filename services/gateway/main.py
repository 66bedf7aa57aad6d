"""The gateway process: REST for users, commands and questions for everybody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvloop

from services.chassis.collector import spare_collector
from services.chassis.sealing import Sealer
from services.chassis.service import Frame, open_frame
from services.chassis.settings import Server

from .app import create_app
from .auth.watched import WatchedDoor
from .auth.ways import open_door
from .closing import Closing
from .factory import Process
from .guard.guard import Guard
from .guard.refusals import Refusals
from .identity.home import Identity
from .identity.tokens import IdentityDesk
from .links import Linker
from .settings import GatewaySettings
from .tables import METADATA

__all__ = ["main", "open_process", "run", "run_beside"]

_STORE_TIMEOUT = httpx.Timeout(30.0, connect=5.0, pool=None)
_STORE_LIMITS = httpx.Limits(max_connections=256, max_keepalive_connections=64)


@asynccontextmanager
async def open_process(frame: Frame, settings: GatewaySettings) -> AsyncIterator[Process]:
    """Make what lives as long as the process."""
    # Proxies of the environment are for the outside world; the store is ours.
    identity = Identity(settings.gateway.identity, frame.unit, frame.bus, settings.data)
    guard = Guard(settings.gateway.limits, Refusals(frame.bus.announce))
    async with (
        httpx.AsyncClient(timeout=_STORE_TIMEOUT, limits=_STORE_LIMITS, trust_env=False) as http,
        guard.refusals.telling(),
        identity.running(),
    ):
        yield Process(
            settings=settings.gateway,
            bus=frame.bus,
            http=http,
            door=WatchedDoor(open_door(settings.gateway.identity, identity), guard),
            health=frame.health,
            linker=Linker(temporal_ui=settings.gateway.temporal_ui, namespace=settings.gateway.temporal_namespace),
            closing=Closing(),
            sealer=Sealer.of(settings),
            identity=identity,
            tokens=IdentityDesk(identity),
            seal_key=settings.ticket_key,
            guard=guard,
        )


async def main(settings: GatewaySettings, *, only: str | None = None) -> None:
    """Serve until told to stop; *only* one dialect, if one is named."""
    async with (
        open_frame("gateway", settings, database_url=settings.database_url, metadata=METADATA) as frame,
        open_process(frame, settings) as process,
    ):
        await frame.serve(settings.gateway.listen, create_app(process, only=only), on_drain=process.closing.set)


def run() -> None:
    """Serve with the settings of the environment."""
    _run(GatewaySettings(), None)


def run_beside(dialect: str | None, host: str, port: int) -> None:
    """Serve one dialect, or everything, at another address than the settings say."""
    settings = GatewaySettings()
    settings.gateway.listen = Server(host=host, port=port)
    _run(settings, dialect)


def _run(settings: GatewaySettings, only: str | None) -> None:
    spare_collector()
    uvloop.run(main(settings, only=only))


if __name__ == "__main__":
    run()
