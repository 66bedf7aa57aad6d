"""Notices that another replica was the last to change something, so that what it has not said yet can go first."""

from __future__ import annotations

from sqlalchemy import Table, bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

from .unit import EVENT_SINK, OutboxRow, reading

__all__ = ["Strangers"]

_REMEMBERED = 10_000
"""Things whose last revision of ours is remembered. A forgotten one costs a question."""


class Strangers:
    """Asks the table only where revisions show that somebody else was there: one replica alone never asks."""

    def __init__(self, engine: AsyncEngine, outbox: Table) -> None:
        self._engine = engine
        self._last: dict[str, int] = {}
        self._after_others: set[str] = set()
        own = select(outbox.c.seq).where(outbox.c.id == bindparam("this_id")).scalar_subquery()
        about = outbox.c.subject.endswith(bindparam("about"), autoescape=False)
        unsaid = (outbox.c.sent_at.is_(None), outbox.c.sink == EVENT_SINK, about, outbox.c.seq < own)
        self._unsaid_before = select(outbox).where(*unsaid).order_by(outbox.c.seq)

    def note(self, row: OutboxRow) -> None:
        """Take a row into account that we have committed."""
        if row.revision is None:
            return
        thing = _thing(row)
        last = self._last.pop(thing, 0)
        self._last[thing] = row.revision
        if len(self._last) > _REMEMBERED:
            del self._last[next(iter(self._last))]
        if last != row.after:
            self._after_others.add(row.id)

    async def before(self, row: OutboxRow) -> list[OutboxRow]:
        """Return what is unsaid about the same thing and was committed before *row*, if others may have done that."""
        if row.id not in self._after_others:
            return []
        asked = {"this_id": row.id, "about": f".{_thing(row)}"}
        async with self._engine.connect() as connection:
            found = (await (await reading(connection)).execute(self._unsaid_before, asked)).all()
        return [OutboxRow.of(row) for row in found]

    def forget(self, row: OutboxRow) -> None:
        """Take note that a row is said."""
        self._after_others.discard(row.id)


def _thing(row: OutboxRow) -> str:
    return row.subject.rpartition(".")[2]
