"""The resident runner as a program: `python -m services.scheduler.runner.main`."""

from __future__ import annotations

import asyncio
import fcntl
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.scheduler.pilot.system import become_subreaper, hide_ourselves

from .settings import RunnerSettings

if TYPE_CHECKING:
    from .gpus import Gpus

__all__ = ["alone_in", "main", "run", "serve"]

_TAKE_OVER = 10.0
"""Seconds that an earlier runner on the same folder has to go."""


async def main(settings: RunnerSettings, *, alone: bool = False) -> None:
    """Run until SIGTERM or SIGINT. *alone* says that this process has no children but those of runs."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, stop, alone=alone)


async def serve(
    settings: RunnerSettings, stop: asyncio.Event, *, alone: bool = False, gpus: Gpus | None = None
) -> None:
    """Run until *stop* is set; then end what runs, and say so."""
    import structlog

    from .census import Census
    from .control import Control
    from .gpus import choose, detect_gpus
    from .health import health_app, serve_http
    from .journal import Journal
    from .link import Link
    from .logs import configure_logging
    from .room import Room
    from .runner import Runner
    from .system import return_memory

    section = settings.runner
    configure_logging(settings.log, section.name)
    log = structlog.get_logger(__name__)
    node = platform.node()
    found = gpus or detect_gpus()
    room = Room(
        backend=section.backend,
        node=node,
        cpus=section.cpus,
        memory=section.memory,
        gpus=choose(found.list(), section.gpus),
    )
    census = Census(reaping=alone and become_subreaper())
    if section.hidden:
        hide_ourselves()
    if alone:
        return_memory()
    link = Link(settings.nats, section.name)
    with alone_in(settings.work):
        journal = Journal(settings.work)
        parts: dict[str, Any] = {"journal": journal, "room": room, "census": census, "gpus": found}
        runner = Runner(link=link, section=section, private=settings.private, **parts)
        control = Control(runner=runner, name=section.name, node=node)
        async with serve_http(health_app(link=link, runner=runner), section.health):
            runner.start()
            connecting = asyncio.create_task(link.start(section.backend, control.answer))
            log.info("runner.ready", backend=section.backend, cpus=room.cpus, memory=room.memory, gpus=len(room.gpus))
            await stop.wait()
            log.info("runner.draining")
            await runner.drain(settings.drain)
            connecting.cancel()
            await link.close()
        log.info("runner.stopped")


@contextmanager
def alone_in(work: Path) -> Iterator[None]:
    """Hold the folder of the runs: two runners in one would adopt each other's processes."""
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(work / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _TAKE_OVER
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"another runner works in {work}") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def run() -> None:
    """Run as a program of its own."""
    # For prettier tracebacks structlog loads rich, which a program that logs JSON carries about for nothing: 5 MB.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    import uvloop

    uvloop.run(main(RunnerSettings(), alone=True))


if __name__ == "__main__":
    run()
