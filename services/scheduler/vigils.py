"""The step that hands an attempt over waits a moment for its end: the workflow of a short job then takes one task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import nats.errors
from nats.aio.msg import Msg

from contracts.subjects import wake_subject
from services.chassis.bus import Bus

from .workflows.words import AttemptEnd

__all__ = ["Vigil", "Vigils"]

_MOST = 128
"""Steps that wait at once; the others do not wait at all, and their workflows hear of the end by a signal."""

_SPAN = 3.0
"""Seconds. A workflow hears nothing meanwhile, and one whose worker is killed goes on after its task's timeout."""


class Vigil:
    """One step that waits. Its end is taken by whoever records it, told when that is committed, or let go."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._woken = asyncio.Event()
        self._taken = False
        self._end: AttemptEnd | None = None

    async def wait(self) -> AttemptEnd | None:
        """Return the end, or None if none came in time or the workflow has to hear of something else."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._span):
                await self._woken.wait()
        while self._taken and self._end is None:
            self._woken.clear()
            await self._woken.wait()
        return self._end

    def wake(self) -> None:
        """Have it wait no longer."""
        self._woken.set()

    def take(self) -> None:
        """Promise to tell it the end, or to let it go."""
        self._taken = True

    def tell(self, end: AttemptEnd) -> None:
        """Say the end, which is committed."""
        self._end = end
        self.wake()

    def let_go(self) -> None:
        """Take the promise back: nothing came of it."""
        self._taken = False
        self.wake()


class Vigils:
    """All steps of this process that wait."""

    def __init__(self, bus: Bus, *, most: int = _MOST, span: float = _SPAN) -> None:
        self._bus = bus
        self._most = most
        self._span = span
        self._by_workload: dict[str, Vigil] = {}
        self._closed = False

    async def listen(self) -> None:
        """Hear of other replicas whose workflows have to listen."""

        async def wake(message: Msg) -> None:
            self._wake(message.data.decode(errors="replace"))

        await self._bus.connection.subscribe(wake_subject(), cb=wake)

    @contextmanager
    def keeping(self, workload_id: str) -> Iterator[Vigil]:
        """Begin before the attempt is handed over, so that its end cannot be missed."""
        if self._closed or len(self._by_workload) >= self._most:
            yield Vigil(0.0)
            return
        vigil = Vigil(self._span)
        self._by_workload[workload_id] = vigil
        try:
            yield vigil
        finally:
            if self._by_workload.get(workload_id) is vigil:
                del self._by_workload[workload_id]

    def find(self, workload_id: str) -> Vigil | None:
        """Return the step that waits for the end of a workload's attempt, if one does."""
        return self._by_workload.get(workload_id)

    async def wake(self, workload_id: str) -> None:
        """Have its step wait no longer, whichever replica it is in: the workflow has to hear of something."""
        if not self._wake(workload_id):
            # A replica that does not hear of it goes on by itself in a moment.
            with suppress(nats.errors.Error):
                await self._bus.connection.publish(wake_subject(), workload_id.encode())

    def _wake(self, workload_id: str) -> bool:
        vigil = self._by_workload.get(workload_id)
        if vigil:
            vigil.wake()
        return vigil is not None

    def close(self) -> None:
        """Have no step wait any more: the service stops."""
        self._closed = True
        for vigil in self._by_workload.values():
            vigil.wake()
