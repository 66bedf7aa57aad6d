"""An engine for Slurm with a site word of its own, and orders to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from services.scheduler.backends.engines.base import EngineMeans, Launch, Native, NativeState, Order, Seen
from services.scheduler.backends.engines.slurm.engine import SlurmEngine

from .slurm_cluster import SlurmCluster, until

__all__ = ["Bench"]


class Bench:
    """An engine with a site word of its own, and orders to it."""

    def __init__(self, cluster: SlurmCluster, site: str, folder: Path, **settings: object) -> None:
        self.cluster = cluster
        self.site = site
        self.folder = folder
        self.engine = SlurmEngine(cluster.settings(**settings), EngineMeans("hpc", site, folder))

    def order(self, word: str = "a", script: str = "#!/bin/sh\nsleep 300\n", **more: object) -> Order:
        """Return an order for a script."""
        name = f"{self.site}-{word}-1"
        launch = Launch(script, {"MARK": str(self.folder / word), "SHUNTER_PILOT_NAME": name}, Path("/pilot"))
        order = Order(name, "ada", "lab", "t", launch, cpus=1, memory=None, gpus=0, walltime=600)
        return replace(order, **more)  # type: ignore[arg-type]

    async def start(self, *orders: Order) -> list[Native]:
        """Start orders that must be taken."""
        answers = await self.engine.start(orders)
        assert [answer.error for answer in answers] == [None] * len(orders)
        return [Native(order.name, answer.native_id) for order, answer in zip(orders, answers, strict=True)]

    async def reach(
        self, natives: Collection[Native], state: NativeState = NativeState.RUNNING, within: float = 60.0
    ) -> Mapping[str, Seen]:
        """Wait until all of them stand so."""
        found: Mapping[str, Seen] = {}

        async def stand() -> bool:
            nonlocal found
            found = await self.engine.look(natives)
            return all(native.name in found and found[native.name].state is state for native in natives)

        await until(stand, within=within)
        return found

    async def end(self) -> None:
        """Leave nothing behind."""
        left = [Native(seen.name, seen.native_id) for seen in (await self.engine.look(())).values()]
        await self.engine.remove(left)
        await self.engine.close()
