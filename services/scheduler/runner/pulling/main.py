"""Our own worker for the pull backend: the resident runner, with a gateway in the place of NATS."""

from __future__ import annotations

import asyncio
import platform
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import structlog
import uvloop

from contracts.runs import RunnerCapacity, RunTask
from services.scheduler.pilot.system import become_subreaper, hide_ourselves
from services.scheduler.runner.census import Census
from services.scheduler.runner.gpus import Gpus, choose, detect_gpus
from services.scheduler.runner.journal import Journal
from services.scheduler.runner.logs import configure_logging
from services.scheduler.runner.main import alone_in
from services.scheduler.runner.room import Room
from services.scheduler.runner.runner import Runner
from services.scheduler.runner.settings import RunnerSettings

from .gateway import Gateway
from .link import RestLink
from .queue import PullQueue, Sort

if TYPE_CHECKING:
    from services.scheduler.runner.containers.containers import Containers

__all__ = ["run", "work"]

log = structlog.get_logger(__name__)


async def work(
    connect: Callable[[], httpx.AsyncClient],
    settings: RunnerSettings,
    stop: asyncio.Event,
    *,
    architecture: str | None = None,
    alone: bool = False,
    gpus: Gpus | None = None,
) -> None:
    """Take work and do it until *stop* is set; then end what runs, and say so."""
    section = settings.runner
    configure_logging(settings.log, section.name)
    found = gpus or detect_gpus()
    mine = choose(found.list(), section.gpus)
    room = Room(backend=section.backend, node=platform.node(), cpus=section.cpus, memory=section.memory, gpus=mine)
    census = Census(reaping=alone and become_subreaper())
    if section.hidden:
        hide_ourselves()
    async with connect() as http:
        gateway = Gateway(http)
        link = RestLink(gateway, section.name)
        with alone_in(settings.work):
            journal = Journal(settings.work)

            def make_queue(take: Callable[[RunTask], None]) -> PullQueue:
                sort, backend = Sort(mine, architecture), section.backend
                more: dict[str, Any] = {"room": room_now, "images": runs_images}
                return PullQueue(link=link, gateway=gateway, backend=backend, sort=sort, take=take, **more)

            def room_now() -> RunnerCapacity:
                return runner.capacity()

            containers = _containers(settings)

            async def runs_images() -> bool:
                return containers is not None and await containers.answers()

            given: dict[str, Any] = {"journal": journal, "room": room, "census": census, "gpus": found}
            given |= {"private": settings.private, "containers": containers}
            runner = Runner(link=link, section=section, make_queue=make_queue, **given)
            if containers:
                await containers.sweep({folder.name for folder in journal.folders() if not folder.is_done})
            await _live(runner, link, journal, stop, settings.drain)
            if containers:
                await containers.close()
    log.info("worker.stopped")


def _containers(settings: RunnerSettings) -> Containers | None:
    """Return what runs images, if an engine was named and what speaks with it is installed."""
    section = settings.runner.containers
    if section is None:
        return None
    try:
        from services.scheduler.runner.containers.containers import Containers
    except ImportError as error:
        log.warning("worker.no_images", why=f"{error}; pip install 'shunter[docker]'")
        return None
    return Containers(section, settings.work)


async def _live(runner: Runner, link: RestLink, journal: Journal, stop: asyncio.Event, drain: float) -> None:
    link.end = runner.cancel
    for folder in journal.folders():
        if (task := folder.read_task()) and not folder.is_done:
            link.hold_again(task)
    link.begin()
    runner.start()
    log.info("worker.ready", **runner.capacity().model_dump(include={"cpus", "memory", "gpus"}))
    await stop.wait()
    log.info("worker.draining")
    await runner.drain(drain)
    await link.close()


def run(connect: Callable[[], httpx.AsyncClient], settings: RunnerSettings, architecture: str | None) -> None:
    """Run as a program of its own, until SIGTERM or SIGINT."""
    uvloop.run(_until_told(connect, settings, architecture))


async def _until_told(
    connect: Callable[[], httpx.AsyncClient], settings: RunnerSettings, architecture: str | None
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await work(connect, settings, stop, architecture=architecture, alone=True)
