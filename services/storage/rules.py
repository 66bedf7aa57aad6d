"""Statements on rules of folders, and the question whether there is room."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import ByteSize
from sqlalchemy import Row, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import OverQuotaError
from contracts.model import now
from contracts.shelves import FolderRule
from services.chassis.unit import upsert_for

from .folders import content_of
from .rights import folders_of
from .store import find_file
from .tables import RULES
from .usage import add_usage, under_way, usage_of

__all__ = ["Quotas", "count_rules", "drop_rule", "expiring_rules", "find_rule", "list_rules", "put_rule"]


class Quotas:
    """Says whether there is room; *default* is what every owner may have that no rule speaks of."""

    def __init__(self, default: int | None) -> None:
        self._default = default

    async def of_owner(self, connection: AsyncConnection, owner: str) -> int | None:
        """Return the bytes that an owner may have; none does not limit them."""
        rule = await find_rule(connection, owner, "")
        return self._default if rule is None or rule.quota is None else rule.quota

    async def require(
        self,
        connection: AsyncConnection,
        owner: str,
        path: str,
        size: int,
        *,
        upload: str | None = None,
        alone: bool = False,
        again: bool = False,
    ) -> None:
        """Refuse bytes under *path*, or what *upload* brings there, if they are more than a quota has room for.

        What is on its way counts as if it were there; but not what is on its way to the same path, if whoever brings it
        only tries *again*. With *alone* nobody else takes the room before the commit.
        """
        limits = await self._limits(connection, owner, path)
        if not limits:
            return
        if alone:
            await add_usage(connection, owner, 0, 0)
        there = await find_file(connection, owner, path)
        more = size - (there.size if there else 0)
        await self._compare(connection, owner, limits, more, upload, path if again else None)

    async def largest(self, connection: AsyncConnection, owner: str, path: str, size: int) -> int | None:
        """Return what a file can come to, however much is deleted before; refuses one of a larger *size*."""
        limits = await self._limits(connection, owner, path)
        for folder, quota in limits.items():
            if size > quota:
                held = await (content_of(connection, owner, folder) if folder else usage_of(connection, owner))
                raise _full(folder, quota, held.size, 0, size)
        return min(limits.values(), default=None)

    async def require_to_move(self, connection: AsyncConnection, owner: str, path: str, to: str, size: int) -> None:
        """Refuse bytes that come from elsewhere, where a quota counts the new place and not the old one."""
        old = await self._limits(connection, owner, path)
        new = await self._limits(connection, owner, to)
        limits = {folder: quota for folder, quota in new.items() if folder not in old}
        await self._compare(connection, owner, limits, size)

    async def _limits(self, connection: AsyncConnection, owner: str, path: str) -> dict[str, int]:
        places = ["", *(f"{folder}/" for folder in folders_of(path))]
        statement = select(RULES.c.path, RULES.c.quota).where(
            RULES.c.owner == owner, RULES.c.path.in_(places), RULES.c.quota.is_not(None)
        )
        found = {row.path: int(row.quota) for row in await connection.execute(statement)}
        return found if self._default is None else {"": self._default, **found}

    async def _compare(
        self,
        connection: AsyncConnection,
        owner: str,
        limits: dict[str, int],
        size: int,
        upload: str | None = None,
        instead: str | None = None,
    ) -> None:
        for folder, quota in limits.items():
            held = await (content_of(connection, owner, folder) if folder else usage_of(connection, owner))
            coming = await under_way(connection, owner, folder, now(), but=upload, instead=instead)
            if size > 0 and held.size + coming.size + size > quota:
                raise _full(folder, quota, held.size, coming.size, size)


def _full(folder: str, quota: int, held: int, coming: int, size: int) -> OverQuotaError:
    whose = f"the folder {folder} may" if folder else "your files may"
    way = f", with {_said(coming)} on their way" if coming else ""
    return OverQuotaError(
        f"{whose} come to {_said(quota)} and come to {_said(held)}{way}: there is no room for {_said(size)} more"
    )


def _said(size: int) -> str:
    return ByteSize(size).human_readable()


async def find_rule(connection: AsyncConnection, owner: str, folder: str) -> FolderRule | None:
    """Return the rule of a folder, which ends with `/`; the empty one is everything."""
    row = (await connection.execute(select(RULES).where(RULES.c.owner == owner, RULES.c.path == folder))).first()
    return _rule_of(row) if row else None


async def list_rules(connection: AsyncConnection, owner: str) -> list[FolderRule]:
    """Return all rules of an owner, by path."""
    rows = await connection.execute(select(RULES).where(RULES.c.owner == owner).order_by(RULES.c.path))
    return [_rule_of(row) for row in rows]


async def count_rules(connection: AsyncConnection, owner: str) -> int:
    """Return how many rules an owner has."""
    statement = select(func.count()).select_from(RULES).where(RULES.c.owner == owner)
    return int((await connection.execute(statement)).scalar_one())


async def put_rule(connection: AsyncConnection, rule: FolderRule) -> None:
    """Write a rule down, in the place of an earlier one."""
    row = {
        "owner": rule.owner,
        "path": _place(rule.path),
        "quota": rule.quota,
        "expires_after": None if rule.expires_after is None else int(rule.expires_after.total_seconds()),
        "changed_at": rule.changed_at,
        "changed_by": rule.changed_by,
    }
    insert = upsert_for(connection)(RULES).values(row)
    await connection.execute(insert.on_conflict_do_update(index_elements=["owner", "path"], set_=row))


async def drop_rule(connection: AsyncConnection, rule: FolderRule) -> None:
    """Take a rule back."""
    await connection.execute(delete(RULES).where(RULES.c.owner == rule.owner, RULES.c.path == _place(rule.path)))


async def expiring_rules(connection: AsyncConnection) -> list[FolderRule]:
    """Return all rules by which files expire."""
    rows = await connection.execute(select(RULES).where(RULES.c.expires_after.is_not(None)))
    return [_rule_of(row) for row in rows]


def _place(path: str | None) -> str:
    return "" if path is None else f"{path}/"


def _rule_of(row: Row[tuple[object, ...]]) -> FolderRule:
    changed_at: datetime = row.changed_at
    return FolderRule(
        owner=row.owner,
        path=row.path.removesuffix("/") or None,
        quota=row.quota,
        expires_after=None if row.expires_after is None else timedelta(seconds=row.expires_after),
        changed_at=changed_at,
        changed_by=row.changed_by,
    )
