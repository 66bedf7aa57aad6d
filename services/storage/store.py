"""Statements on storage's tables. Those that write run inside a transaction of their caller's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.files import FileRecord
from services.chassis.unit import upsert_for

from .tables import FILES, SUPERSEDED, UPLOADS

__all__ = [
    "OpenedUpload",
    "StoredFile",
    "close_upload",
    "count_caused",
    "doom_upload",
    "due_superseded",
    "due_uploads",
    "extend_upload",
    "find_by_key",
    "find_file",
    "find_files",
    "forget_superseded",
    "forget_upload",
    "open_upload",
    "put_file",
    "range_of_files",
    "ranges_of_files",
    "remove_files",
]

_AT_ONCE = 500
"""Paths in one statement; databases limit the number of parameters."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file: who has it under what path, and the object that holds its bytes."""

    owner: str
    path: str
    key: str
    size: int
    sha256: str
    content_type: str
    workload_id: str | None
    created_at: datetime

    @classmethod
    def from_row(cls, row: Row[Any]) -> StoredFile:
        """Read a row of `files` or `superseded`."""
        return cls(*(getattr(row, name) for name in cls.__dataclass_fields__))

    def to_record(self) -> FileRecord:
        """Tell of it."""
        return FileRecord(
            path=self.path,
            owner=self.owner,
            size=self.size,
            sha256=self.sha256,
            content_type=self.content_type,
            created_at=self.created_at,
            key=self.key,
        )


@dataclass(frozen=True, slots=True)
class OpenedUpload:
    """An upload under way; without *upload_id* it is one PUT."""

    key: str
    upload_id: str | None


async def find_file(connection: AsyncConnection, owner: str, path: str) -> StoredFile | None:
    """Return the file under a path."""
    row = (await connection.execute(select(FILES).where(FILES.c.owner == owner, FILES.c.path == path))).first()
    return StoredFile.from_row(row) if row else None


async def find_files(connection: AsyncConnection, owner: str, paths: Iterable[str]) -> dict[str, StoredFile]:
    """Return those files of many paths that are there, by path."""
    wanted = sorted(set(paths))
    found: dict[str, StoredFile] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        rows = await connection.execute(select(FILES).where(FILES.c.owner == owner, FILES.c.path.in_(some)))
        found |= {row.path: StoredFile.from_row(row) for row in rows}
    return found


async def find_by_key(connection: AsyncConnection, key: str) -> StoredFile | None:
    """Return the file that an upload made, also if it has been overwritten or deleted since."""
    for table in (FILES, SUPERSEDED):
        row = (await connection.execute(select(table).where(table.c.key == key))).first()
        if row:
            return StoredFile.from_row(row)
    return None


async def range_of_files(
    connection: AsyncConnection, owner: str, start: str, end: str | None, limit: int
) -> list[StoredFile]:
    """Return files by path, from *start* on and below *end*."""
    statement = select(FILES).where(FILES.c.owner == owner, FILES.c.path >= start)
    if end is not None:
        statement = statement.where(FILES.c.path < end)
    rows = await connection.execute(statement.order_by(FILES.c.path).limit(limit))
    return [StoredFile.from_row(row) for row in rows]


async def ranges_of_files(
    connection: AsyncConnection, owner: str, ranges: Iterable[tuple[str, str | None]], limit: int
) -> list[StoredFile]:
    """Return files of several ranges, which stand in their order."""
    found: list[StoredFile] = []
    for start, end in ranges:
        if len(found) < limit:
            found += await range_of_files(connection, owner, start, end, limit - len(found))
    return found


async def put_file(connection: AsyncConnection, file: StoredFile, cause: str) -> None:
    """Let the path name this file from now on; the bytes that it named before are superseded."""
    added = await connection.execute(
        upsert_for(connection)(FILES).values(asdict(file)).on_conflict_do_nothing(index_elements=["owner", "path"])
    )
    if added.rowcount:
        return
    place = (FILES.c.owner == file.owner, FILES.c.path == file.path)
    old = (await connection.execute(select(FILES).where(*place).with_for_update())).one()
    await _supersede(connection, [StoredFile.from_row(old)], file.created_at, cause)
    await connection.execute(update(FILES).where(*place).values(asdict(file)))


async def remove_files(
    connection: AsyncConnection, files: Sequence[StoredFile], at: datetime, cause: str
) -> list[StoredFile]:
    """Take files away and return those that were still there; their bytes are superseded."""
    keys = [file.key for file in files]
    gone: set[str] = set()
    for start in range(0, len(keys), _AT_ONCE):
        some = FILES.c.key.in_(keys[start : start + _AT_ONCE])
        gone |= set((await connection.execute(delete(FILES).where(some).returning(FILES.c.key))).scalars())
    removed = [file for file in files if file.key in gone]
    await _supersede(connection, removed, at, cause)
    return removed


async def _supersede(connection: AsyncConnection, files: Sequence[StoredFile], at: datetime, cause: str) -> None:
    if files:
        rows = [{**asdict(file), "superseded_at": at, "cause": cause} for file in files]
        await connection.execute(insert(SUPERSEDED), rows)


async def count_caused(connection: AsyncConnection, cause: str) -> int:
    """Return how many files a message superseded."""
    statement = select(func.count()).select_from(SUPERSEDED).where(SUPERSEDED.c.cause == cause)
    return int((await connection.execute(statement)).scalar_one())


async def due_superseded(connection: AsyncConnection, before: datetime, limit: int) -> list[str]:
    """Return keys that were superseded before a moment, oldest first."""
    statement = select(SUPERSEDED.c.key).where(SUPERSEDED.c.superseded_at <= before)
    return list((await connection.execute(statement.order_by(SUPERSEDED.c.superseded_at).limit(limit))).scalars())


async def forget_superseded(connection: AsyncConnection, keys: Sequence[str]) -> None:
    """Forget keys whose objects are gone."""
    for start in range(0, len(keys), _AT_ONCE):
        await connection.execute(delete(SUPERSEDED).where(SUPERSEDED.c.key.in_(keys[start : start + _AT_ONCE])))


async def open_upload(connection: AsyncConnection, upload: OpenedUpload, expires_at: datetime) -> None:
    """Remember an upload under way."""
    values = {"key": upload.key, "upload_id": upload.upload_id, "expires_at": expires_at}
    await connection.execute(insert(UPLOADS).values(values))


async def extend_upload(connection: AsyncConnection, key: str, expires_at: datetime) -> bool:
    """Give an upload more time; says whether it is still under way."""
    known = await connection.execute(update(UPLOADS).where(_under_way(key)).values(expires_at=expires_at))
    return bool(known.rowcount)


async def close_upload(connection: AsyncConnection, key: str) -> bool:
    """End an upload that is complete; says whether it was still under way, so that only one decides about it."""
    return bool((await connection.execute(delete(UPLOADS).where(_under_way(key)))).rowcount)


async def doom_upload(connection: AsyncConnection, key: str) -> bool:
    """Decide that an upload will never be complete; says whether it is still there."""
    return bool((await connection.execute(update(UPLOADS).where(UPLOADS.c.key == key).values(doomed=True))).rowcount)


async def forget_upload(connection: AsyncConnection, key: str) -> None:
    """Forget a doomed upload whose bytes are gone."""
    await connection.execute(delete(UPLOADS).where(UPLOADS.c.key == key))


def _under_way(key: str) -> ColumnElement[bool]:
    return and_(UPLOADS.c.key == key, UPLOADS.c.doomed.is_(False))


async def due_uploads(connection: AsyncConnection, before: datetime, limit: int) -> list[OpenedUpload]:
    """Return uploads whose URLs expired before a moment."""
    statement = select(UPLOADS.c.key, UPLOADS.c.upload_id).where(UPLOADS.c.expires_at <= before).limit(limit)
    return [OpenedUpload(row.key, row.upload_id) for row in await connection.execute(statement)]
