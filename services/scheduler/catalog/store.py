"""Statements on the row that keeps the last file that could be used."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.unit import upsert_for
from services.scheduler.tables import catalog

__all__ = ["Kept", "find_kept", "keep"]

_ONLY = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of the file."""

    source: str
    sha256: str = ""
    """Of the last one that could be used; empty if there was none."""
    content: bytes = b""
    loaded_at: datetime | None = None
    broken: str = ""
    """The checksum of a later one that cannot be used, or a word if it is gone; empty while all is well."""


async def find_kept(connection: AsyncConnection, source: str) -> Kept:
    """Return what is known of a file; another file than before is one that nothing is known of."""
    columns = [catalog.c[name] for name in Kept.__dataclass_fields__]
    statement = select(*columns).where(catalog.c.id == _ONLY, catalog.c.source == source)
    row = (await connection.execute(statement)).first()
    return Kept(**row._mapping) if row else Kept(source)  # noqa: SLF001 (SQLAlchemy's public name for it)


async def keep(connection: AsyncConnection, kept: Kept) -> None:
    """Write it down."""
    values = {"id": _ONLY, **asdict(kept)}
    statement = upsert_for(connection)(catalog).values(values)
    await connection.execute(statement.on_conflict_do_update(index_elements=[catalog.c.id], set_=asdict(kept)))
