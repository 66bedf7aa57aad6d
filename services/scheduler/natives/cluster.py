"""What everybody who has to do with one cluster shares."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from services.chassis.bus import Bus
from services.chassis.unit import UnitOfWork
from services.scheduler.backends.engines.base import Engine, EngineMeans, Native, Seen
from services.scheduler.backends.engines.kinds import load
from services.scheduler.settings import BackendSettings

from .bell import Bell
from .launching import Launcher

__all__ = ["Cluster", "Means", "prefix_of"]

_LATELY = 5.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Means:
    """What all clusters of a site get from us."""

    unit: UnitOfWork
    bus: Bus
    launcher: Launcher
    data: Path
    key: str
    """A secret of the site's, from which the words are made by which it knows its native jobs."""


def prefix_of(settings: BackendSettings, key: str) -> str:
    """Return the word with which the names of a backend's native jobs begin."""
    made = hashlib.sha256(f"{settings.name}\n{key}".encode()).hexdigest()[:7]
    return settings.prefix or f"s{made}"


class Cluster:
    """One cluster: its settings, its engine, and what is needed beside it."""

    def __init__(self, settings: BackendSettings, means: Means) -> None:
        self.settings = settings
        self.name = settings.name
        self.unit = means.unit
        self.bus = means.bus
        self.launcher = means.launcher
        self.prefix = prefix_of(settings, means.key)
        self.bell = Bell()
        kind = load(settings.kind)
        ours = EngineMeans(backend=settings.name, site=self.prefix, data=means.data / "backends" / settings.name)
        self.engine: Engine = kind(kind.Settings.model_validate(settings.part), ours)
        self.orphans: dict[str, float] = {}
        """Native jobs of ours that nobody wants, as the last look showed them, and since when by our clock."""
        self._opening = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._is_open = False
        self._seen: Mapping[str, Seen] = {}
        self._looked = -_LATELY

    async def opened(self) -> Engine:
        """Return the engine, ready for use."""
        async with self._opening:
            if not self._is_open:
                self.engine.means.data.mkdir(parents=True, exist_ok=True, mode=0o700)
                await self.engine.open()
                self._is_open = True
        return self.engine

    async def close(self) -> None:
        """Let go of the engine; what runs on the cluster lives on."""
        async with self._opening:
            if self._is_open:
                self._is_open = False
                await self.engine.close()

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:
        """Have the engine look, once at a time."""
        engine = await self.opened()
        async with self._looking:
            self._seen = await engine.look(known)
            self._looked = monotonic()
            return self._seen

    async def glance(self) -> Mapping[str, Seen]:
        """Return what the cluster showed lately."""
        return self._seen if monotonic() - self._looked < _LATELY else await self.look(())
