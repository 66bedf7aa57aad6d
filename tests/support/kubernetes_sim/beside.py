"""A simulated cluster beside a test that does not run in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from .simulator import Simulator, run_simulator

__all__ = ["simulator_beside"]


@contextmanager
def simulator_beside(folder: Path) -> Iterator[Simulator]:
    """Run a cluster in a thread of its own. Only what changes single values of it may be called from here."""
    ready: Future[tuple[Simulator, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        over = asyncio.Event()
        async with run_simulator(folder) as simulator:
            ready.set_result((simulator, asyncio.get_running_loop(), over))
            await over.wait()

    thread = Thread(target=asyncio.run, args=(run(),), name="simulated cluster")
    thread.start()
    simulator, loop, over = ready.result(timeout=20)
    try:
        yield simulator
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
