"""A real Slurm in a loop of its own, beside tests that wait in the ordinary way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from threading import Thread
from time import monotonic, sleep
from typing import Any, TypeVar

from .slurm_cluster import SlurmCluster, run_slurm

__all__ = ["SlurmBeside", "slurm_beside"]

T = TypeVar("T")


class SlurmBeside:
    """A cluster, and the loop in which it is."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.cluster: SlurmCluster

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        """Do something with the cluster, and wait for it."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    def call(self, *argv: str, stdin: str = "") -> str:
        """Call one of Slurm's commands, as an admin does."""
        return self.do(self.cluster.call(*argv, stdin=stdin))

    def queue(self) -> str:
        """Return what is in the queue."""
        return self.call("squeue", "--noheader", "--format=%i %j %T")

    def until_empty(self, within: float = 30.0) -> None:
        """Wait until nothing is in the queue."""
        end = monotonic() + within
        while left := self.queue():
            if monotonic() > end:
                raise TimeoutError(f"still in the queue after {within:g} s: {left}")
            sleep(0.1)

    def backend(self, **more: object) -> dict[str, object]:
        """Return it as a backend of a site's file."""
        settings = self.cluster.settings(every=0.5).model_dump(mode="json", exclude_none=True)
        return {"kind": "slurm", "slurm": settings, **more}


@contextmanager
def slurm_beside() -> Iterator[SlurmBeside]:
    """Run a cluster."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    found, running = SlurmBeside(loop), run_slurm()
    try:
        found.cluster = found.do(running.__aenter__())
        try:
            yield found
        finally:
            found.do(running.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
