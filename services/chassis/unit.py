"""One message, one transaction: inbox row, change and outbox rows commit together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Table, bindparam, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert_postgres
from sqlalchemy.dialects.sqlite import insert as upsert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.envelope import Context, Envelope
from contracts.errors import UnavailableError
from contracts.events import Event
from contracts.ids import message_id
from contracts.model import now
from contracts.subjects import subject_of

from .database import READING
from .errors import database_translated

__all__ = ["EVENT_SINK", "OutboxRow", "UnitOfWork", "Work", "looker", "reading", "turn_for", "upsert_for"]

EVENT_SINK = "events"
"""The sink of everything that goes to the EVENTS stream."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Something to be said by the relay."""

    id: str
    sink: str
    subject: str
    payload: bytes
    created_at: datetime
    seq: int = 0
    revision: int | None = None
    """Of what the row is about, if it has one."""
    after: int = 0
    """The revision that it follows: by it the relay sees that another replica was there in between."""

    @classmethod
    def of(cls, row: Any) -> OutboxRow:
        """Return a row of the outbox's table as it is said."""
        return cls(row.id, row.sink, row.subject, row.payload, row.created_at, row.seq)


def upsert_for(connection: AsyncConnection) -> Any:
    """Return the `insert` of the database's own kind, which knows `on_conflict_…`."""
    return upsert_sqlite if connection.dialect.name == "sqlite" else upsert_postgres


def turn_for(engine: AsyncEngine) -> AbstractAsyncContextManager[Any]:
    """Return what writers take turns by: SQLite has one writer; waiting here is fair, waiting in SQLite polls."""
    return asyncio.Lock() if engine.dialect.name == "sqlite" else nullcontext()


@dataclass(slots=True)
class Work:
    """An open transaction, and what is to be said when it commits."""

    connection: AsyncConnection
    context: Context
    source: str
    _rows: list[OutboxRow] = field(default_factory=list)
    facts: list[object] = field(default_factory=list)
    """What happened here that somebody else of this service takes into account before the commit."""
    on_rollback: set[Callable[[], None]] = field(default_factory=set)
    """Called if nothing of this came to be, as far as we know: the commit itself may have been done."""
    on_end: set[Callable[[], None]] = field(default_factory=set)
    """Called afterwards, whatever came of it."""

    def speaking_in(self, context: Context) -> Work:
        """Return the same transaction, for one of several messages that are handled in it."""
        return replace(self, context=context)

    def send(self, event: Event, *, event_id: str | None = None) -> str:
        """Announce a fact; it goes out after the commit, under one *event_id* once. Returns the event's id."""
        envelope, raw = Envelope.write(event, self.context, source=self.source, subject=event.subject_id, id=event_id)
        revision: int | None = getattr(event, "revision", None)
        after = (revision or 0) - event.is_move
        said = (envelope.id, EVENT_SINK, subject_of(event), raw, envelope.time)
        self._rows.append(OutboxRow(*said, revision=revision, after=after))
        return envelope.id

    def defer(self, sink: str, subject: str, message: BaseModel) -> None:
        """Have something done by another *sink* of the relay after the commit, at least once."""
        payload = message.model_dump_json().encode()
        self._rows.append(OutboxRow(message_id(), sink, subject, payload, now()))

    @property
    def rows(self) -> list[OutboxRow]:
        """Return what is to be said, in order."""
        return self._rows


class UnitOfWork:
    """Opens transactions on the service's database."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        inbox: Table,
        outbox: Table,
        source: str,
        announce: Callable[[list[OutboxRow]], None],
        doubt: Callable[[], None] = lambda: None,
        turn: AbstractAsyncContextManager[Any],
        scanner: AsyncEngine | None = None,
    ) -> None:
        self._engine = engine
        self._scanner = scanner or engine
        self._looker = looker(engine)
        self._source = source
        self._announce = announce
        self._doubt = doubt
        self._turn = turn
        self._partner: Callable[[Work], Awaitable[None]] | None = None
        # Built once: building a statement costs more than SQLite takes to run it.
        self._say_later = insert(outbox)
        self._told = select(outbox.c.payload).where(outbox.c.id == bindparam("wanted"))
        self._note = insert(inbox)
        upsert = upsert_sqlite if engine.dialect.name == "sqlite" else upsert_postgres
        self._know = upsert(inbox).on_conflict_do_nothing()
        later = upsert(inbox)
        self._remember = later.on_conflict_do_update(
            index_elements=[inbox.c.message_id],
            set_={"handled_at": later.excluded.handled_at},
            where=inbox.c.handled_at < later.excluded.handled_at,
        )
        self._remembered = select(inbox.c.handled_at).where(inbox.c.message_id == bindparam("wanted"))
        self._known = select(inbox.c.message_id).where(inbox.c.message_id.in_(bindparam("wanted", expanding=True)))

    def join(self, partner: Callable[[Work], Awaitable[None]]) -> None:
        """Have *partner* take part in every transaction in which a fact was noted, right before its commit."""
        self._partner = partner

    @asynccontextmanager
    async def begin(self, context: Context) -> AsyncIterator[Work]:
        """Open a transaction; code inside never commits."""
        async with self._turn:
            try:
                with database_translated():
                    async with _open(self._engine, context, self._source) as work:
                        yield work
                        if work.facts and self._partner:
                            await self._partner(work)
                        if work.rows:
                            await work.connection.execute(self._say_later, [_values(row) for row in work.rows])
            except UnavailableError:
                # Lost in the middle of the commit, which nobody can tell from before it.
                self._doubt()
                raise
            self._announce(work.rows)

    @asynccontextmanager
    async def handling(self, message: str, context: Context) -> AsyncIterator[Work | None]:
        """Open a transaction for a message, or give None if it was handled before."""
        async with self.begin(context) as work:
            added = await work.connection.execute(self._know, {"message_id": message, "handled_at": now()})
            yield work if added.rowcount else None

    async def know(self, work: Work, messages: Sequence[str]) -> list[str]:
        """Write down in a transaction that messages are handled in it; returns those that were not handled before."""
        known = set((await work.connection.execute(self._known, {"wanted": messages})).scalars())
        fresh = [message for message in messages if message not in known]
        if fresh:
            moment = now()
            # Another replica may handle one of them at this moment: then nothing of this comes to be.
            rows = [{"message_id": message, "handled_at": moment} for message in fresh]
            await work.connection.execute(self._note, rows)
        return fresh

    async def remember(self, work: Work, what: str, at: datetime) -> None:
        """Write down when something was so last; it is known for as long as messages may come again."""
        await work.connection.execute(self._remember, {"message_id": what, "handled_at": at})

    async def remembered(self, what: str) -> datetime | None:
        """Return when that was."""
        async with self.looking_up() as connection:
            return (await connection.execute(self._remembered, {"wanted": what})).scalar()

    async def told(self, event_id: str) -> bytes | None:
        """Return an event that was announced here under an id of its own, said or still to be said."""
        async with self.looking_up() as connection:
            return (await connection.execute(self._told, {"wanted": event_id})).scalar()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading only, as much as it may be; it waits for no writer."""
        with database_translated():
            async with self._scanner.connect() as connection:
                yield await reading(connection)

    @asynccontextmanager
    async def looking_up(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for a few rows by their key; it waits for no writer, and on SQLite for no thread."""
        with database_translated():
            async with self._looker.connect() as connection:
                yield connection


def looker(engine: AsyncEngine) -> AsyncEngine:
    """Return an engine over the same pool whose connections only read."""
    options = {READING: True} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
    return type(engine)(engine.sync_engine.execution_options(**options))


@asynccontextmanager
async def _open(engine: AsyncEngine, context: Context, source: str) -> AsyncIterator[Work]:
    work: Work | None = None
    try:
        async with engine.begin() as connection:
            work = Work(connection, context, source)
            yield work
    except BaseException:
        for undo in work.on_rollback if work else ():
            undo()
        raise
    finally:
        for done in work.on_end if work else ():
            done()


async def reading(connection: AsyncConnection) -> AsyncConnection:
    """Make a connection one that only reads: it waits for no writer and holds none up."""
    if connection.dialect.name == "sqlite":
        return await connection.execution_options(**{READING: True})
    return await connection.execution_options(isolation_level="AUTOCOMMIT")


def _values(row: OutboxRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "sink": row.sink,
        "subject": row.subject,
        "payload": row.payload,
        "created_at": row.created_at,
    }
