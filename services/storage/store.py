"""Statements on files, versions of them and uploads. Those that write run inside a transaction of their caller's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.unit import upsert_for

from .stored import Reason, StoredFile
from .superseded import supersede
from .tables import FILES, SUPERSEDED, UPLOADS
from .usage import add_usage

__all__ = [
    "OpenedUpload",
    "StoredFile",
    "close_upload",
    "doom_upload",
    "due_uploads",
    "extend_upload",
    "find_file",
    "find_files",
    "find_object",
    "find_uploaded",
    "forget_upload",
    "hold_object",
    "open_upload",
    "put_file",
    "range_of_files",
    "ranges_of_files",
    "remove_files",
]

_AT_ONCE = 500
"""Paths in one statement; databases limit the number of parameters."""


@dataclass(frozen=True, slots=True)
class OpenedUpload:
    """An upload under way; without *upload_id* it is one PUT."""

    key: str
    upload_id: str | None
    owner: str | None = None
    path: str | None = None
    size: int = 0


# Built once: building a statement costs more than SQLite takes to run it.
_FROM = (
    select(FILES)
    .where(FILES.c.owner == bindparam("owner"), FILES.c.path >= bindparam("start"))
    .order_by(FILES.c.path)
    .limit(bindparam("most"))
)
_BETWEEN = _FROM.where(FILES.c.path < bindparam("end"))


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


async def find_uploaded(connection: AsyncConnection, upload: str) -> StoredFile | None:
    """Return the file that an upload made, also if it has been moved, overwritten or deleted since."""
    for table in (FILES, SUPERSEDED):
        row = (await connection.execute(select(table).where(table.c.upload == upload))).first()
        if row:
            return StoredFile.from_row(row)
    return None


async def find_object(connection: AsyncConnection, owner: str, *, sha256: str, size: int) -> str | None:
    """Return an object of an owner's that has this content, if a file names one."""
    same = (FILES.c.owner == owner, FILES.c.sha256 == sha256, FILES.c.size == size)
    found: str | None = (await connection.execute(select(FILES.c.key).where(*same).limit(1))).scalar()
    return found


async def hold_object(connection: AsyncConnection, owner: str, key: str) -> bool:
    """Keep the sweep from an object until the commit; says whether it is still there for others to name."""
    for table in (FILES, SUPERSEDED):
        named = [table.c.owner == owner, table.c.key == key]
        if table is SUPERSEDED:
            named.append(SUPERSEDED.c.doomed.is_(False))
        if (await connection.execute(select(table.c.key).where(*named).limit(1).with_for_update())).first():
            return True
    return False


async def range_of_files(
    connection: AsyncConnection, owner: str, start: str, end: str | None, limit: int
) -> list[StoredFile]:
    """Return files by path, from *start* on and below *end*."""
    values = {"owner": owner, "start": start, "most": limit}
    rows = await connection.execute(*((_FROM, values) if end is None else (_BETWEEN, {**values, "end": end})))
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
        await add_usage(connection, file.owner, 1, file.size)
        return
    place = (FILES.c.owner == file.owner, FILES.c.path == file.path)
    old = (await connection.execute(select(FILES).where(*place).with_for_update())).one()
    await supersede(connection, [StoredFile.from_row(old)], file.created_at, cause, Reason.OVERWRITTEN)
    await connection.execute(update(FILES).where(*place).values(asdict(file)))
    await add_usage(connection, file.owner, 0, file.size - old.size)


async def remove_files(
    connection: AsyncConnection, files: Sequence[StoredFile], at: datetime, cause: str, reason: Reason
) -> list[StoredFile]:
    """Take files away and return those that were still there under their paths; their bytes are superseded."""
    removed: list[StoredFile] = []
    for start in range(0, len(files), _AT_ONCE):
        some = files[start : start + _AT_ONCE]
        # By both: one that was moved meanwhile is there no more, and what came under its path is another one.
        uploads, paths = [file.upload for file in some], [file.path for file in some]
        gone = delete(FILES).where(FILES.c.upload.in_(uploads), FILES.c.path.in_(paths)).returning(*FILES.c)
        removed += [StoredFile.from_row(row) for row in await connection.execute(gone)]
    await supersede(connection, removed, at, cause, reason)
    for owner in {file.owner for file in removed}:
        sizes = [file.size for file in removed if file.owner == owner]
        await add_usage(connection, owner, -len(sizes), -sum(sizes))
    return removed


async def open_upload(connection: AsyncConnection, upload: OpenedUpload, expires_at: datetime) -> None:
    """Remember an upload under way."""
    await connection.execute(insert(UPLOADS).values({**asdict(upload), "expires_at": expires_at}))


async def extend_upload(connection: AsyncConnection, key: str, expires_at: datetime) -> bool:
    """Give an upload more time; says whether it is still under way."""
    known = await connection.execute(update(UPLOADS).where(_under_way(key)).values(expires_at=expires_at))
    return bool(known.rowcount)


async def close_upload(connection: AsyncConnection, key: str) -> bool:
    """End an upload that is complete; says whether it was still under way, so that only one decides about it."""
    return bool((await connection.execute(delete(UPLOADS).where(_under_way(key)))).rowcount)


async def doom_upload(connection: AsyncConnection, key: str, before: datetime) -> bool:
    """Decide that an upload will never be complete; says whether it is still there, and nobody took it up again."""
    due = (UPLOADS.c.key == key, UPLOADS.c.expires_at <= before)
    return bool((await connection.execute(update(UPLOADS).where(*due).values(doomed=True))).rowcount)


async def forget_upload(connection: AsyncConnection, key: str) -> None:
    """Forget a doomed upload whose bytes are gone."""
    await connection.execute(delete(UPLOADS).where(UPLOADS.c.key == key))


def _under_way(key: str) -> ColumnElement[bool]:
    return and_(UPLOADS.c.key == key, UPLOADS.c.doomed.is_(False))


async def due_uploads(connection: AsyncConnection, before: datetime, limit: int) -> list[OpenedUpload]:
    """Return uploads whose URLs expired before a moment."""
    statement = select(UPLOADS.c.key, UPLOADS.c.upload_id).where(UPLOADS.c.expires_at <= before).limit(limit)
    return [OpenedUpload(row.key, row.upload_id) for row in await connection.execute(statement)]
