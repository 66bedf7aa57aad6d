"""Writes the ledger. The live one and the one that is rebuilt from the log are written by this code alone."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any

from sqlalchemy import Row, bindparam, case, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.unit import upsert_for

from .moves import STREAM
from .segments import Changes, Closing, Opening, Part, Segment, split
from .tables import PARTS, POSITION, SEGMENTS, UNSPLIT

__all__ = ["forget_places", "record", "remember"]

_KEY = ("workload_id", "attempt")
_OPENING = tuple(field.name for field in fields(Opening))
_CLOSING = tuple(field.name for field in fields(Closing))
_PART = tuple(field.name for field in fields(Part))

_read_opening = attrgetter(*_OPENING)
_read_closing = attrgetter(*_CLOSING)
_read_part = attrgetter(*_PART)


async def record(connection: AsyncConnection, changes: Changes, sequence: int) -> None:
    """Write *changes* and that the log has been read up to *sequence*, in the caller's transaction."""
    if changes.openings:
        rows = [dict(zip(_OPENING, _read_opening(item), strict=True)) for item in changes.openings.values()]
        await connection.execute(_upsert(connection, _OPENING, "opened_revision"), rows)
    if changes.closings:
        rows = [dict(zip(_CLOSING, _read_closing(item), strict=True)) for item in changes.closings.values()]
        await connection.execute(_upsert(connection, _CLOSING, "closed_revision"), rows)
    if changes:
        await _split_closed(connection)
    await remember(connection, sequence)


async def remember(connection: AsyncConnection, sequence: int) -> None:
    """Write that the log has been read up to *sequence*; it never goes back."""
    statement = upsert_for(connection)(POSITION).values(stream=STREAM, sequence=sequence)
    new = statement.excluded.sequence
    further = case((new > POSITION.c.sequence, new), else_=POSITION.c.sequence)
    await connection.execute(statement.on_conflict_do_update(index_elements=["stream"], set_={"sequence": further}))


async def forget_places(connection: AsyncConnection) -> None:
    """Keep what was used, but not where the log said it: the log begins anew, and will say the same again."""
    await connection.execute(update(PARTS).values(sequence=0))
    for half in ("opened_sequence", "closed_sequence"):
        await connection.execute(update(SEGMENTS).where(SEGMENTS.c[half].is_not(None)).values({half: 0}))
    await connection.execute(update(POSITION).values(sequence=0))


def _upsert(connection: AsyncConnection, columns: tuple[str, ...], revision: str) -> Any:
    """Each half of a row is written by its own move, in whatever order they come; the lowest revision stays."""
    statement = upsert_for(connection)(SEGMENTS)
    statement = statement.values({name: bindparam(name) for name in columns} | {"split": False})
    known, new = SEGMENTS.c[revision], statement.excluded[revision]
    values = {name: statement.excluded[name] for name in columns if name not in _KEY}
    return statement.on_conflict_do_update(
        index_elements=_KEY, set_={**values, "split": False}, where=or_(known.is_(None), new < known)
    )


async def _split_closed(connection: AsyncConnection) -> None:
    """Split the segments that have both halves now."""
    rows = (await connection.execute(select(SEGMENTS).where(UNSPLIT))).all()
    if not rows:
        return
    keys = [{"w": row.workload_id, "a": row.attempt} for row in rows]
    parts = [dict(zip(_PART, _read_part(part), strict=True)) for row in rows for part in split(_segment(row))]
    await connection.execute(
        delete(PARTS).where(PARTS.c.workload_id == bindparam("w"), PARTS.c.attempt == bindparam("a")), keys
    )
    await connection.execute(insert(PARTS), parts)
    done = update(SEGMENTS).where(SEGMENTS.c.workload_id == bindparam("w"), SEGMENTS.c.attempt == bindparam("a"))
    await connection.execute(done.values(split=True), keys)


def _segment(row: Row[Any]) -> Segment:
    return Segment(Opening(*_read_opening(row)), Closing(*_read_closing(row)))
