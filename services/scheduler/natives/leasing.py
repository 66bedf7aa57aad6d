"""Who keeps a backend: one process of the scheduler at a time."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from time import monotonic
from uuid import uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Context
from services.chassis.unit import UnitOfWork, upsert_for
from services.scheduler.tables import keepers

__all__ = ["Keepership"]

_CONTEXT = Context.start("service:scheduler")


class Keepership:
    """A row with a heart: while its beat grows nobody else takes it. No clock of another machine is believed."""

    def __init__(
        self, *, unit: UnitOfWork, backend: str, patience: float = 15.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self._unit = unit
        self._backend = backend
        self._patience = patience
        self._clock = clock
        self._me = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
        self._seen: tuple[str, int] | None = None
        self._since = 0.0
        self._beaten = 0.0
        self._mine = False
        self._turn = asyncio.Lock()

    async def hold(self) -> bool:
        """Take or keep it; False while somebody else has it. To be called much more often than its patience lasts."""
        async with self._turn:
            if not self._mine or self._clock() - self._beaten > self._patience / 5:
                async with self._unit.begin(_CONTEXT) as work:
                    self._mine = await self._beat(work.connection)
                self._beaten = self._clock()
            return self._mine

    async def _beat(self, connection: AsyncConnection) -> bool:
        row = (await connection.execute(select(keepers).where(keepers.c.backend == self._backend))).first()
        if row is None:
            first = {"backend": self._backend, "holder": self._me, "beat": 1}
            added = await connection.execute(upsert_for(connection)(keepers).values(first).on_conflict_do_nothing())
            return bool(added.rowcount)
        if row.holder != self._me and not self._is_given_up(row.holder, row.beat):
            return False
        which = keepers.c.backend == self._backend, keepers.c.holder == row.holder, keepers.c.beat == row.beat
        changed = await connection.execute(update(keepers).where(*which).values(holder=self._me, beat=row.beat + 1))
        return changed.rowcount == 1

    def _is_given_up(self, holder: str, beat: int) -> bool:
        """Say whether who has it has been still for long, or was a process of this machine that is no more."""
        if self._seen != (holder, beat):
            self._seen, self._since = (holder, beat), self._clock()
        return self._clock() - self._since > self._patience or _is_dead(holder)

    def doubt(self) -> None:
        """Look into the table at the next question."""
        self._mine = False

    async def give_up(self) -> None:
        """Let the next one take it at once."""
        self._mine = False
        async with self._unit.begin(_CONTEXT) as work:
            which = keepers.c.backend == self._backend, keepers.c.holder == self._me
            await work.connection.execute(delete(keepers).where(*which))


def _is_dead(holder: str) -> bool:
    host, process, _ = holder.split("/")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
