"""Orders for Ray, and an engine that looks until something is so."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.scheduler.backends.engines.base import EngineMeans, Launch, Native, NativeState, Order, Seen
from services.scheduler.backends.engines.ray.engine import RayEngine
from services.scheduler.backends.engines.ray.settings import RaySettings

from .ray_cluster import RayCluster

__all__ = ["RaySite", "order", "ray_site"]

_WITHIN = 60.0


def order(name: str, script: str, env: dict[str, str] | None = None, **more: Any) -> Order:
    """Return an order for one core."""
    fields = {
        "owner": "ada",
        "project": None,
        "title": "",
        "cpus": 1.0,
        "memory": None,
        "gpus": 0,
        "walltime": 60.0,
        **more,
    }
    return Order(name=name, launch=Launch(script, env or {}, Path("/nowhere")), **fields)


@dataclass(frozen=True, slots=True)
class RaySite:
    """A site of its own on a cluster."""

    engine: RayEngine
    site: str

    def name(self, word: str = "") -> str:
        """Return a name for a native job of this site."""
        return f"{self.site}-{word or secrets.token_hex(4)}"

    async def until(self, holds: Callable[[dict[str, Seen]], bool], *, within: float = _WITHIN) -> dict[str, Seen]:
        """Look until it holds."""
        seen: dict[str, Seen] = {}
        async with asyncio.timeout(within):
            while not holds(seen := dict(await self.engine.look([]))):  # noqa: ASYNC110 (Ray has no such event)
                await asyncio.sleep(0.2)
        return seen

    async def ended(self, names: Collection[str]) -> dict[str, Seen]:
        """Look until all have ended."""
        return await self.until(
            lambda seen: all(name in seen and seen[name].state is NativeState.ENDED for name in names)
        )

    async def clear(self) -> None:
        """Stop and remove whatever is there."""
        natives = [Native(name, name) for name in await self.engine.look([])]
        await self.engine.stop(natives)
        seen = await self.ended([native.name for native in natives])
        await self.engine.remove([Native(name, name) for name in seen])


@asynccontextmanager
async def ray_site(cluster: RayCluster, data: Path, **settings: Any) -> AsyncIterator[RaySite]:
    """Give a site on the cluster, with nothing on it; nothing of it stays."""
    site = f"t{secrets.token_hex(4)}"
    means = EngineMeans(backend="ray", site=site, data=data)
    engine = RayEngine(RaySettings.model_validate(cluster.settings() | settings), means)
    await engine.open()
    found = RaySite(engine, site)
    try:
        yield found
        await found.clear()
    finally:
        await engine.close()
