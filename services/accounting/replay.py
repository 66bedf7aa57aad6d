"""Rebuilds a ledger from the event log alone, into an empty database, by the code that writes the live one."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import InvalidError
from services.chassis.database import close_engine, make_engine

from .eventlog import Entry
from .folding import Counted, fold_all
from .ledger import record
from .moves import read_move
from .tables import LEDGER, METADATA

__all__ = ["Rebuilt", "empty_ledger", "rebuild"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How much was read."""

    events: int = 0
    last_sequence: int = 0
    """The last of them; 0 if there is none."""


@asynccontextmanager
async def empty_ledger(folder: Path) -> AsyncIterator[AsyncConnection]:
    """Open an empty database of the ledger's tables, in a file below *folder* that is gone afterwards."""
    with _folder_below(folder) as place:
        engine = make_engine(f"sqlite+aiosqlite:///{Path(place) / 'ledger.db'}")
        try:
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                # Nobody will read this file after a crash.
                await connection.execute(text("PRAGMA journal_mode=OFF"))
                await connection.execute(text("PRAGMA synchronous=OFF"))
            async with engine.connect() as connection:
                await connection.run_sync(METADATA.create_all, tables=LEDGER)
                await connection.commit()
                yield connection
        finally:
            await close_engine(engine)


def _folder_below(folder: Path) -> tempfile.TemporaryDirectory[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="replay-", dir=folder)


async def rebuild(connection: AsyncConnection, batches: AsyncIterator[list[Entry]]) -> Rebuilt:
    """Fold *batches* of the log into the ledger, one transaction for each."""
    events, last = 0, 0
    async for entries in batches:
        events, last = events + len(entries), entries[-1][0]
        await record(connection, fold_all(_moves(entries)), last)
        await connection.commit()
    return Rebuilt(events, last)


def _moves(entries: Iterable[Entry]) -> Iterable[tuple[int, Counted]]:
    for sequence, raw in entries:
        try:
            move = read_move(raw)
        except InvalidError as error:
            # The live ledger refused it too.
            log.warning("replay.unreadable", sequence=sequence, detail=error.detail)
            continue
        if move:
            yield sequence, move
