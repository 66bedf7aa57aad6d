"""Takes work over REST, as much as there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from contracts.errors import RefusedError, UnavailableError
from contracts.leases import Offer
from contracts.runs import RunnerCapacity, RunTask
from services.scheduler.runner.queue import TaskQueue

from .gateway import Gateway
from .link import RestLink

if TYPE_CHECKING:
    from services.scheduler.runner.room import Gpu

__all__ = ["PullQueue", "Sort"]

_WAIT = 20.0
"""Seconds for which the gateway may keep us waiting for work."""
_AGAIN = 1.0
"""Seconds before another try where the gateway is away, or there is no room."""
_REFUSED = 15.0
"""Seconds before another try where we may not have any work: somebody may change that."""

log = structlog.get_logger(__name__)


class Sort:
    """What a worker says of itself besides the room that it has."""

    def __init__(self, gpus: list[Gpu], architecture: str | None) -> None:
        self._gpus = gpus
        self._architecture = architecture

    def offer(self, room: RunnerCapacity, *, images: bool) -> Offer | None:
        """Return what is free; None if that is nothing. *images*: such can be run now."""
        if room.cpus_free < 1e-3 or room.memory_free <= 0 or room.waiting:
            return None
        smallest = min((gpu.memory for gpu in self._gpus), default=0)
        return Offer(
            cpus=room.cpus_free,
            memory=room.memory_free,
            gpus=room.gpus_free,
            gpu_memory=smallest if room.gpus_free else 0,
            gpu_model=self._gpus[0].model if self._gpus and room.gpus_free else None,
            gpu_architecture=self._architecture if room.gpus_free else None,
            images=images,
            arrays=True,
        )


class PullQueue(TaskQueue):
    """Asks for one job after another while there is room."""

    def __init__(
        self,
        *,
        link: RestLink,
        gateway: Gateway,
        backend: str,
        sort: Sort,
        take: Callable[[RunTask], None],
        room: Callable[[], RunnerCapacity],
        images: Callable[[], Awaitable[bool]],
    ) -> None:
        self._link = link
        self._gateway = gateway
        self._backend = backend
        self._sort = sort
        self._take = take
        self._room = room
        self._images = images
        self._wanted = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Say whether tasks can come."""
        return self._running is not None and self._link.is_up

    def start(self) -> None:
        """Begin to take."""
        self._running = asyncio.create_task(self._run())

    def want(self, more: bool) -> None:
        """Say whether another task is welcome now; called whenever room is given or taken."""
        if more:
            self._wanted.set()

    async def stop(self) -> None:
        """Take no more."""
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def withdraw(self, workload_id: str, attempt: int) -> RunTask | None:  # noqa: ARG002
        """Return nothing: what we do not have is the scheduler's to take back."""
        return None

    async def _run(self) -> None:
        while True:
            self._wanted.clear()
            offer = self._sort.offer(self._room(), images=await self._images())
            if offer is None:
                await self._wanted.wait()
                continue
            try:
                leases = await self._gateway.take(self._backend, self._link.name, offer, wait=_WAIT)
                self._link.note(up=True)
                for lease in leases:
                    log.info("lease.taken", lease=lease.number, workload=lease.task.workload_id)
                    await self._begin(self._link.hold(lease))
            except UnavailableError as error:
                self._link.note(up=False)
                log.info("gateway.away", detail=error.detail)
                await asyncio.sleep(error.retry_after or _AGAIN)
            except RefusedError as error:
                log.warning("work.refused", detail=error.detail)
                await asyncio.sleep(_REFUSED)
            except Exception:
                log.exception("queue.failed")
                await asyncio.sleep(_AGAIN)

    async def _begin(self, task: RunTask) -> None:
        """Have the runner take a task; one that it has no room to keep goes to somebody else."""
        try:
            self._take(task)
        except OSError as error:
            log.warning("lease.given_back", workload=task.workload_id, error=str(error))
            await self._link.give_back(task, f"the worker cannot keep it: {error.strerror}")
            await asyncio.sleep(_REFUSED)
