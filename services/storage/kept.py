"""Statements on versions: what files were before, as far as somebody may bring it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.shelves import Amount

from .listing import successor
from .stored import Reason, StoredFile
from .tables import FILES, SUPERSEDED

__all__ = [
    "Kept",
    "Since",
    "amount_kept",
    "find_kept",
    "forget_kept",
    "page_of_kept",
    "purge_kept",
    "restorable",
]

_AT_ONCE = 500
"""Rows in one statement; databases limit the number of parameters."""

_TABLE = SUPERSEDED.c
_TAKEN = exists().where(FILES.c.owner == _TABLE.owner, FILES.c.path == _TABLE.path)

Since = Mapping[Reason, datetime]
"""By the reason for which files went: those that went after this moment can be brought back."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file as it was, and when and why it went."""

    file: StoredFile
    gone_at: datetime
    reason: Reason

    @classmethod
    def from_row(cls, row: Row[Any]) -> Kept:
        """Read a row of `superseded`."""
        return cls(StoredFile.from_row(row), row.superseded_at, Reason(row.reason))


def _shown(owner: str, since: Since, path: str | None = None) -> Iterator[ColumnElement[bool]]:
    yield _TABLE.owner == owner
    yield _TABLE.doomed.is_(False)
    yield or_(*(and_(_TABLE.reason == reason.value, _TABLE.superseded_at > at) for reason, at in since.items()))
    if path is not None:
        folder = f"{path}/"
        below = [_TABLE.path >= folder]
        if (end := successor(folder)) is not None:
            below.append(_TABLE.path < end)
        yield or_(_TABLE.path == path, and_(*below))


async def amount_kept(connection: AsyncConnection, owner: str, since: Since) -> Amount:
    """Return what an owner's versions come to."""
    statement = select(func.count(), func.coalesce(func.sum(_TABLE.size), 0)).where(*_shown(owner, since))
    files, size = (await connection.execute(statement)).one()
    return Amount(files=int(files), size=int(size))


async def page_of_kept(
    connection: AsyncConnection,
    owner: str,
    since: Since,
    path: str | None,
    *,
    below: tuple[datetime, str] | None,
    limit: int,
) -> list[Kept]:
    """Return some versions, those that went last first; *below* is the moment and upload of the last of a page."""
    statement = select(SUPERSEDED).where(*_shown(owner, since, path))
    if below is not None:
        at, upload = below
        older = or_(_TABLE.superseded_at < at, and_(_TABLE.superseded_at == at, _TABLE.upload < upload))
        statement = statement.where(older)
    statement = statement.order_by(_TABLE.superseded_at.desc(), _TABLE.upload.desc()).limit(limit)
    return [Kept.from_row(row) for row in await connection.execute(statement)]


async def find_kept(connection: AsyncConnection, owner: str, since: Since, upload: str) -> Kept | None:
    """Return one version, and keep the sweep from it until the commit."""
    statement = select(SUPERSEDED).where(*_shown(owner, since), _TABLE.upload == upload).with_for_update()
    row = (await connection.execute(statement)).first()
    return Kept.from_row(row) if row else None


async def restorable(
    connection: AsyncConnection, owner: str, since: Since, path: str, *, folder: bool, limit: int
) -> list[Kept]:
    """Return the last version of each deleted file whose name is free, and keep the sweep from them."""
    newer = SUPERSEDED.alias("newer")
    later = tuple_(newer.c.superseded_at, newer.c.upload) > tuple_(_TABLE.superseded_at, _TABLE.upload)
    same = (newer.c.owner == _TABLE.owner, newer.c.path == _TABLE.path, newer.c.doomed.is_(False))
    reasons = newer.c.reason.in_([reason.value for reason in since])
    place = [*_shown(owner, since, path)] if folder else [*_shown(owner, since), _TABLE.path == path]
    statement = select(SUPERSEDED).where(*place, ~_TAKEN, ~exists().where(*same, reasons, later))
    found = await connection.execute(statement.order_by(_TABLE.path).limit(limit).with_for_update())
    return [Kept.from_row(row) for row in found]


async def forget_kept(connection: AsyncConnection, uploads: Sequence[str]) -> None:
    """Forget versions that are files again: another row names their objects."""
    for start in range(0, len(uploads), _AT_ONCE):
        await connection.execute(delete(SUPERSEDED).where(_TABLE.upload.in_(uploads[start : start + _AT_ONCE])))


async def purge_kept(
    connection: AsyncConnection, owner: str, since: Since, path: str | None, upload: str | None
) -> int:
    """Let versions be there for nobody any more but for jobs that froze them; returns how many."""
    which = [] if upload is None else [_TABLE.upload == upload]
    statement = update(SUPERSEDED).where(*_shown(owner, since, path), *which).values(reason=Reason.PURGED.value)
    return (await connection.execute(statement)).rowcount
