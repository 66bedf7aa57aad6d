"""Native jobs for tests of the docker backend alone: a script in the place of the pilot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from services.scheduler.backends.engines.base import EngineMeans, Launch, Native, NativeState, Order, Seen
from services.scheduler.backends.engines.docker.engine import DockerEngine
from services.scheduler.backends.engines.docker.settings import DockerSettings

from .docker_engine import Dockerd
from .docker_images import BUSYBOX
from .engine_stand import EngineStand

__all__ = ["Site", "docker_stand", "run_site"]


class Site:
    """A backend of its own on an engine that others use too."""

    def __init__(self, server: Dockerd, folder: Path, **settings: Any) -> None:
        self.server = server
        self.word = f"t{uuid4().hex[:8]}"
        self.pilot = folder / "pilot.pyz"
        self.pilot.write_text("print('the pilot')\n")
        self.settings = DockerSettings.model_validate(
            {"url": server.url, "network": "host", "image": BUSYBOX, "pull": "never", "grace": 10, **settings}
        )
        self.means = EngineMeans("docks", self.word, folder)
        self.engine = DockerEngine(self.settings, self.means)
        self._count = 0

    def order(self, script: str = "exit 0", *, env: Mapping[str, str] | None = None, **more: Any) -> Order:
        """Return the order of a new native job."""
        self._count += 1
        launch = Launch(script=script, env=env or {}, file=self.pilot)
        values = {"cpus": 0.1, "memory": None, "gpus": 0, "walltime": 60.0, **more}
        return Order(f"{self.word}-{self._count}", "ada", "vision", "train", launch, **values)

    async def start(self, script: str = "exit 0", **more: Any) -> Native:
        """Start one and return it."""
        order = self.order(script, **more)
        (started,) = await self.engine.start([order])
        if started.error is not None:
            raise started.error
        return Native(order.name, started.native_id)

    async def refusal(self, script: str = "exit 0", **more: Any) -> Exception:
        """Return why one is not started."""
        (started,) = await self.engine.start([self.order(script, **more)])
        assert started.error is not None
        return started.error

    async def until(self, native: Native, state: NativeState = NativeState.ENDED) -> Seen:
        """Look until it is so."""
        async with asyncio.timeout(30):
            while True:
                seen = (await self.engine.look([native])).get(native.name)
                if seen is not None and seen.state is state:
                    return seen
                await asyncio.sleep(0.05)

    async def run(self, script: str, **more: Any) -> tuple[Seen, str]:
        """Run one to its end; returns how it ended and what it said."""
        native = await self.start(script, **more)
        seen = await self.until(native)
        said = self.logs(native)
        await self.engine.remove([native])
        return seen, said

    def logs(self, native: Native) -> str:
        """Return what was said in it."""
        with self.server.client() as client:
            return str(client.logs(native.name).decode())

    def left(self) -> list[str]:
        """Return what is there of this backend."""
        wanted = {"label": f"shunter.site={self.word}"}
        with self.server.client() as client:
            containers = [one["Names"][0] for one in client.containers(all=True, filters=wanted)]
            return containers + [one["Name"] for one in client.volumes(filters=wanted)["Volumes"] or []]

    async def clean(self) -> None:
        """Remove what a test left."""
        await self.engine.close()
        with self.server.client() as client:
            for one in client.containers(all=True, filters={"label": f"shunter.site={self.word}"}):
                client.remove_container(one["Id"], force=True, v=True)


@asynccontextmanager
async def run_site(server: Dockerd, folder: Path, **settings: Any) -> AsyncIterator[Site]:
    """Run a backend of its own; some of its settings are others than the site's usual ones."""
    site = Site(server, folder, **settings)
    await site.engine.open()
    try:
        yield site
    finally:
        await site.clean()


def docker_stand(server: Dockerd) -> EngineStand:
    """Return what the contract of engines needs."""
    said = {"url": server.url, "network": "host", "image": BUSYBOX, "pull": "never", "grace": 1}
    settings = DockerSettings.model_validate(said)
    # However few cores the machine has, all that a test starts is to run.
    return EngineStand(lambda means: DockerEngine(settings, means), order={"cpus": 0.1})
