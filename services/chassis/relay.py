"""The relay says what lies in the outbox: at once after the commit, and whatever a crash left behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta
from typing import Any

import structlog
from prometheus_client import Gauge
from sqlalchemy import ColumnElement, Table, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.model import now

from .strangers import Strangers
from .unit import OutboxRow, reading

__all__ = ["Relay", "Sink"]

Sink = Callable[[OutboxRow], Awaitable[None]]
"""Says one row; raises if it must be said again. Saying it twice must be harmless."""

_AT_ONCE = 256
"""Things that are spoken of side by side."""
_MARK_EVERY = 0.5
"""Seconds between two writes of `sent_at`; a crash in between only repeats what was said."""
_SWEEP_EVERY = 5.0
_LEFT_BEHIND = timedelta(seconds=30)
"""A row that is unsent for so long was left behind by somebody who crashed."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
"""Short, for when NATS or Temporal is back everybody waits for this."""
_PRUNE_EVERY = 3600.0
_INBOX_KEPT = timedelta(days=7)
"""A message is not delivered again so late; all but `LOGS` and `EVENTS` have forgotten it by then."""
_PRUNE_BATCH = 5000

_LAG = Gauge("shunter_outbox_unsent", "Rows that wait to be said", ["service", "sink"])

log = structlog.get_logger(__name__)


class Relay:
    """Sends rows in the order of their commits, each sink for itself, until each is said.

    What another replica has committed about the same thing before, and has not said yet, is said here first.
    """

    def __init__(
        self, *, engine: AsyncEngine, outbox: Table, service: str, turn: AbstractAsyncContextManager[Any]
    ) -> None:
        self._engine = engine
        self._turn = turn
        self._outbox = outbox
        self._service = service
        self._queues: dict[str, asyncio.Queue[OutboxRow]] = {}
        self._waiting: dict[str, int] = {}
        self._lags: dict[str, Gauge] = {}
        self._known: set[str] = set()
        self._strangers = Strangers(engine, outbox)
        self._said: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._doubts = False

    def doubt(self) -> None:
        """Look soon for rows that nobody announced: a commit failed, and may have come to be all the same."""
        self._doubts = True

    def announce(self, rows: list[OutboxRow]) -> None:
        """Take rows that have just been committed."""
        for row in rows:
            if row.id not in self._known and row.sink in self._queues:
                self._known.add(row.id)
                self._strangers.note(row)
                self._queues[row.sink].put_nowait(row)
                self._count(row.sink, 1)

    async def start(self, sinks: Mapping[str, Sink]) -> None:
        """Begin to send; what a crash left behind goes first."""
        self._queues = {name: asyncio.Queue() for name in sinks}
        self._waiting = dict.fromkeys(sinks, 0)
        self._lags = {name: _LAG.labels(self._service, name) for name in sinks}
        await self._sweep(self._outbox.c.sent_at.is_(None))
        self._tasks = [asyncio.create_task(self._send(name, sink)) for name, sink in sinks.items()]
        self._tasks += [asyncio.create_task(self._mark_often()), asyncio.create_task(self._sweep_often())]
        self._tasks.append(asyncio.create_task(self._prune_often()))

    async def stop(self, timeout: float = 5.0) -> None:
        """Say what is queued, as far as *timeout* seconds allow, and write down what was said."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                for queue in self._queues.values():
                    await queue.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._mark()

    def unsent(self) -> dict[str, int]:
        """Return how many rows wait, by sink."""
        return dict(self._waiting)

    async def _send(self, name: str, sink: Sink) -> None:
        # A line for each thing that is spoken of: lines go side by side, each in its order. So nothing that is said
        # of one thing overtakes, and what cannot be said of one holds up no other.
        queue = self._queues[name]
        lines: dict[str, deque[OutboxRow]] = {}
        room = asyncio.Semaphore(_AT_ONCE)

        async def say_all(about: str, line: deque[OutboxRow]) -> None:
            while line:
                await self._say(line[0], sink)
                self._strangers.forget(line[0])
                line.popleft()
                queue.task_done()
                self._count(name, -1)
            del lines[about]
            room.release()

        async with asyncio.TaskGroup() as group:
            while True:
                row = await queue.get()
                about = row.subject.rpartition(".")[2]
                if about in lines:
                    lines[about].append(row)
                    continue
                lines[about] = deque([row])
                await room.acquire()
                group.create_task(say_all(about, lines[about]))

    async def _say(self, row: OutboxRow, sink: Sink) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                for earlier in await self._strangers.before(row):
                    if earlier.id not in self._known:
                        await sink(earlier)
                        self._said.append(earlier.id)
                await sink(row)
            except Exception as error:  # noqa: BLE001 (whatever it is, the row must be said)
                log.warning("relay.retry", subject=row.subject, error=repr(error), pause=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._said.append(row.id)
                return

    def _count(self, name: str, change: int) -> None:
        self._waiting[name] += change
        self._lags[name].set(self._waiting[name])

    async def _mark_often(self) -> None:
        while True:
            await asyncio.sleep(_MARK_EVERY)
            if self._said:
                try:
                    await self._mark()
                except Exception:
                    log.exception("relay.mark_failed")

    async def _mark(self) -> None:
        said, self._said = self._said, []
        if not said:
            return
        statement = update(self._outbox).where(self._outbox.c.id == bindparam("row_id")).values(sent_at=now())
        try:
            async with self._turn, self._engine.begin() as connection:
                await connection.execute(statement, [{"row_id": row_id} for row_id in said])
        except BaseException:
            self._said = said + self._said
            raise
        self._known.difference_update(said)

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            doubts, self._doubts = self._doubts, False
            try:
                await self._sweep(self._outbox.c.sent_at.is_(None) if doubts else self._left_behind())
            except Exception:
                self._doubts |= doubts
                log.exception("relay.sweep_failed")

    async def _prune_often(self) -> None:
        while True:
            try:
                await self.prune(now() - _INBOX_KEPT)
            except Exception:
                log.exception("relay.prune_failed")
            await asyncio.sleep(_PRUNE_EVERY)

    async def prune(self, before: datetime) -> int:
        """Forget the ids of messages that were handled *before*; a few at a time, for others write too."""
        inbox, pruned = self._outbox.metadata.tables["inbox"], 0
        old = select(inbox.c.message_id).where(inbox.c.handled_at < before).limit(_PRUNE_BATCH)
        while True:
            async with self._turn, self._engine.begin() as connection:
                found = (await connection.execute(delete(inbox).where(inbox.c.message_id.in_(old)))).rowcount
            pruned += found
            if found < _PRUNE_BATCH:
                return pruned

    def _left_behind(self) -> ColumnElement[bool]:
        """Return which rows nobody will say but us. What comes from the future was made before a clock was set back."""
        made, present = self._outbox.c.created_at, now()
        old, ahead = made <= present - _LEFT_BEHIND, made > present + _LEFT_BEHIND
        return and_(self._outbox.c.sent_at.is_(None), or_(old, ahead))

    async def _sweep(self, which: ColumnElement[bool]) -> None:
        statement = select(self._outbox).where(which).order_by(self._outbox.c.seq).limit(10_000)
        async with self._engine.connect() as connection:
            found = (await (await reading(connection)).execute(statement)).all()
        self.announce([OutboxRow.of(row) for row in found])

    async def count_unsent(self) -> int:
        """Return how many rows of the table are unsent."""
        statement = select(func.count()).select_from(self._outbox).where(self._outbox.c.sent_at.is_(None))
        async with self._engine.connect() as connection:
            return int((await (await reading(connection)).execute(statement)).scalar_one())
