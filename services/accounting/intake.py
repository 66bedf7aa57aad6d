"""Takes events into the ledger: each once, those that arrive together in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Context
from contracts.errors import InvalidError
from contracts.model import now
from services.chassis.bus import Delivery
from services.chassis.unit import UnitOfWork

from .folding import Counted, fold_all
from .ledger import record
from .moves import read_move
from .tables import INBOX

__all__ = ["AT_ONCE", "Intake"]

AT_ONCE = 256
"""Events that may share a transaction."""

_ENOUGH = AT_ONCE // 2
"""Events that wait for no others."""

_LINGER = 0.1
"""Seconds that fewer events wait for others: a transaction costs as much as the reading of twenty events."""

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Item:
    message_id: str
    sequence: int
    move: Counted | None
    alone: bool = False
    """Whether it is written by itself, because it could not be written with others."""
    written: bool = False


class Intake:
    """The way into the live ledger. Whoever comes first writes for all who came meanwhile."""

    def __init__(self, *, unit: UnitOfWork, linger: float = _LINGER) -> None:
        self._unit = unit
        self._linger = linger
        self._context = Context.start("service:accounting")
        self._waiting: list[_Item] = []
        self._enough = asyncio.Event()
        self._turn = asyncio.Lock()

    async def take(self, raw: bytes, delivery: Delivery) -> None:
        """Write one event into the ledger; returns when it is committed."""
        try:
            move, unreadable = read_move(raw), None
        except InvalidError as error:
            # It is refused, but it has been read: nobody shall wait for it.
            move, unreadable = None, error
        await self._write(_Item(delivery.message_id, delivery.sequence, move))
        if unreadable:
            raise unreadable

    async def _write(self, item: _Item) -> None:
        self._waiting.append(item)
        if len(self._waiting) >= _ENOUGH:
            self._enough.set()
        async with self._turn:
            if item.written:
                return
            if not item.alone:
                await self._write_together()
            if not item.written:
                await self._commit([item])

    async def _write_together(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._linger):
                await self._enough.wait()
        self._enough.clear()
        together, self._waiting = self._waiting, []
        try:
            if together:
                await self._commit(together)
        except Exception as error:  # noqa: BLE001 (each hears of its own)
            # One of them is at fault: each tries alone, so that only that one fails.
            log.warning("intake.apart", events=len(together), error=repr(error))
            for item in together:
                item.alone = True

    async def _commit(self, items: Sequence[_Item]) -> None:
        async with self._unit.begin(self._context) as work:
            fresh = await _fresh(work.connection, items)
            changes = fold_all((item.sequence, item.move) for item in fresh if item.move)
            await record(work.connection, changes, max(item.sequence for item in items))
        for item in items:
            item.written = True


async def _fresh(connection: AsyncConnection, items: Sequence[_Item]) -> list[_Item]:
    """Return the items that change something and were never taken, and note them in the inbox."""
    by_id: dict[str, _Item] = {}
    for item in items:
        if item.move:
            by_id.setdefault(item.message_id, item)
    if not by_id:
        return []
    known = await connection.execute(select(INBOX.c.message_id).where(INBOX.c.message_id.in_(by_id)))
    for message_id in known.scalars():
        del by_id[message_id]
    if by_id:
        await connection.execute(insert(INBOX), [{"message_id": key, "handled_at": now()} for key in by_id])
    return list(by_id.values())
