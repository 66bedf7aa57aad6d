"""What the contract of engines needs of one: a cluster, and as many engines on it as a test likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from services.scheduler.backends.engines.base import Engine, EngineMeans, Launch, Native, NativeState, Order, Seen

__all__ = ["EngineStand", "Trial"]


@dataclass
class EngineStand:
    """A cluster. *make* gives an engine on it for what an engine gets from us; it is opened and closed by the test."""

    make: Callable[[EngineMeans], Engine]
    runs: bool = True
    """Whether it really runs what it is told."""
    patience: float = 30.0
    """Seconds in which a job of a moment has surely come and gone."""
    order: dict[str, Any] = field(default_factory=dict)
    """What orders must say on this cluster, such as an `image` that has a shell."""
    too_large: dict[str, Any] = field(default_factory=lambda: {"cpus": 100_000.0})
    """What an order says that this cluster never takes."""


class Trial:
    """One test's native jobs, under a word of its own."""

    def __init__(self, stand: EngineStand, folder: Path) -> None:
        self.stand = stand
        self.means = EngineMeans(backend="trial", site=f"t{uuid4().hex[:7]}", data=folder)
        self.engines: list[Engine] = []

    async def engine(self) -> Engine:
        """Return another engine on the same cluster, as after a restart."""
        found = self.stand.make(self.means)
        await found.open()
        self.engines.append(found)
        return found

    def order(self, script: str = "exec sleep 60", *, name: str = "", **values: Any) -> Order:
        """Return an order of a name of its own."""
        env = {"SHUNTER_PILOT_TOKEN": "a-secret", "SHUNTER_PILOT_NAME": name}
        launch = Launch(script=f"#!/bin/sh\n{script}\n", env=env, file=Path(__file__))
        named = name or f"{self.means.site}-{uuid4().hex}-1"
        given = {"owner": "ada", "project": "demo", "title": "a trial", "cpus": 1.0, "memory": 64 * 2**20, "gpus": 0}
        return Order(**{"name": named, "launch": launch, "walltime": 300.0, **given, **self.stand.order, **values})

    async def until(
        self, engine: Engine, natives: Collection[Native], state: NativeState | None, seconds: float | None = None
    ) -> list[Seen | None]:
        """Look until all stand so; None is what is shown as ended, or not shown."""
        async with asyncio.timeout(seconds or self.stand.patience):
            while True:
                seen = await engine.look(natives)
                found = [seen.get(native.name) for native in natives]
                if all(_is(one, state) for one in found):
                    return found
                await asyncio.sleep(min(engine.looks_every, 0.5))

    async def clear(self) -> None:
        """Leave nothing on the cluster."""
        engine = await self.engine()
        seen = await engine.look(())
        natives = [Native(one.name, one.native_id) for one in seen.values()]
        if natives:
            await engine.stop(natives)
            await self.until(engine, natives, None)
            await engine.remove(natives)
        for one in self.engines:
            await one.close()

    @classmethod
    @asynccontextmanager
    async def on(cls, stand: EngineStand, folder: Path) -> AsyncIterator[Trial]:
        """Begin one, and clear up after it."""
        trial = cls(stand, folder)
        try:
            yield trial
        finally:
            await trial.clear()


def _is(one: Seen | None, state: NativeState | None) -> bool:
    if state is None:
        return one is None or one.state is NativeState.ENDED
    return one is not None and one.state is state
