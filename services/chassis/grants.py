"""Grants as a service keeps them beside its things: one table, and the questions to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    MetaData,
    Row,
    Select,
    String,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.commands import ShareFolder, ShareWorkload
from contracts.errors import InvalidError, NotFoundError, OverQuotaError
from contracts.grants import MOST_GRANTS, Grant, GrantPage, Right
from contracts.model import now
from contracts.principals import Principal

from .cursors import read_cursor, write_cursor
from .database import SEQUENCE, Moment
from .policy import Power, grantees_of, power_by
from .unit import upsert_for

__all__ = ["Grants", "add_grants_table", "renewed", "require_found"]

_KIND = "g"
"""Of the cursors of lists of grants."""


def add_grants_table(metadata: MetaData, resource: Any) -> Table:
    """Add the table; *resource* is the type of the column that says what a grant is about."""
    table = Table(
        "grants",
        metadata,
        Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        Column("owner", String(256), nullable=False),
        Column("resource", resource, nullable=False),
        Column("grantee", String(264), nullable=False),
        Column("right", String(16), nullable=False),
        Column("place", BigInteger),
        Column("created_at", Moment, nullable=False),
        Column("created_by", String(256), nullable=False),
        Column("expires_at", Moment),
    )
    Index("ix_grants_thing", table.c.owner, table.c.resource, table.c.grantee, unique=True)
    Index("ix_grants_grantee", table.c.grantee, table.c.seq)
    Index("ix_grants_place", table.c.grantee, table.c.place)
    return table


class Grants:
    """The questions to a table of grants. Those that write run inside a transaction of their caller's."""

    def __init__(self, table: Table, word: str) -> None:
        """Keep *table*, whose things are called `<word>:<resource>`."""
        self.table = table
        self._word = word
        good = or_(table.c.expires_at.is_(None), table.c.expires_at > bindparam("at"))
        to_them = table.c.grantee.in_(bindparam("grantees", expanding=True))
        # Built once: building a statement costs more than SQLite takes to run it.
        self._any = select(table.c.grantee).where(to_them, good).limit(1)
        self._on = select(table.c.resource, table.c.right).where(
            table.c.owner == bindparam("owner"),
            table.c.resource.in_(bindparam("resources", expanding=True)),
            to_them,
            good,
        )
        self._good = good

    # --- who may what -------------------------------------------------------------------------------------------

    async def powers(
        self, connection: AsyncConnection, owner: str, resources: Sequence[str], principal: Principal, at: datetime
    ) -> dict[str, Power]:
        """Return what was granted to *principal* on things of one owner; what was not is left out."""
        values = {"owner": owner, "resources": list(resources), "grantees": grantees_of(principal), "at": at}
        found: dict[str, list[Right]] = {}
        for row in await connection.execute(self._on, values):
            found.setdefault(row.resource, []).append(Right(row.right))
        return {resource: power_by(rights) for resource, rights in found.items()}

    async def power(
        self, connection: AsyncConnection, owner: str, resources: Sequence[str], principal: Principal, at: datetime
    ) -> Power:
        """Return the most that was granted on any of some things: on a file it is what its folders allow."""
        found = await self.powers(connection, owner, resources, principal, at)
        return max(found.values(), default=Power.NONE)

    async def words_with_any(self, connection: AsyncConnection, principal: Principal, at: datetime) -> list[str]:
        """Return those words for *principal* to which anything is granted.

        Mostly there are none, which one look into an index tells; no look goes through all that is granted to a word.
        """
        words = grantees_of(principal)
        if (await connection.execute(self._any, {"grantees": words, "at": at})).first() is None:
            return []
        each = [(word, await connection.execute(self._any, {"grantees": [word], "at": at})) for word in words]
        return [word for word, found in each if found.first() is not None]

    # --- changes ------------------------------------------------------------------------------------------------

    async def find(self, connection: AsyncConnection, owner: str, resource: str, grantee: str) -> Grant | None:
        """Return one grant, expired or not."""
        row = (await connection.execute(select(self.table).where(*self._place(owner, resource, grantee)))).first()
        return self.to_grant(row) if row else None

    async def put(self, connection: AsyncConnection, grant: Grant, resource: str, place: int | None = None) -> None:
        """Write a grant down, in the place of an earlier one."""
        row = {
            "owner": grant.owner,
            "resource": resource,
            "grantee": grant.grantee,
            "right": grant.right.value,
            "place": place,
            "created_at": grant.created_at,
            "created_by": grant.created_by,
            "expires_at": grant.expires_at,
        }
        insert = upsert_for(connection)(self.table).values(row)
        keys = ("owner", "resource", "grantee")
        changes = {name: value for name, value in row.items() if name not in keys}
        await connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changes))

    async def require_room(self, connection: AsyncConnection, owner: str, resource: str, at: datetime) -> None:
        """Forget what has expired, and refuse one more grant than a thing may have."""
        table = self.table.c
        on_it = (table.owner == owner, table.resource == resource)
        await connection.execute(delete(self.table).where(*on_it, table.expires_at <= at))
        number = (await connection.execute(select(func.count()).select_from(self.table).where(*on_it))).scalar_one()
        if number >= MOST_GRANTS:
            raise OverQuotaError(f"it is shared with {number} already; that is the most")

    async def drop(self, connection: AsyncConnection, owner: str, resource: str, grantee: str) -> bool:
        """Take a grant back; says whether there was one."""
        done = await connection.execute(delete(self.table).where(*self._place(owner, resource, grantee)))
        return bool(done.rowcount)

    async def all_of(self, connection: AsyncConnection, owner: str, resource: str, at: datetime) -> list[Grant]:
        """Return all that is granted on a thing."""
        table = self.table.c
        statement = select(self.table).where(table.owner == owner, table.resource == resource, self._good)
        return [self.to_grant(row) for row in await connection.execute(statement, {"at": at})]

    # --- lists --------------------------------------------------------------------------------------------------

    async def page_given(
        self,
        connection: AsyncConnection,
        owner: str,
        resource: str | None,
        *,
        grantees: Sequence[str] | None,
        at: datetime,
        limit: int,
        cursor: str | None,
    ) -> GrantPage:
        """Return some grants on a thing, or (None) on all things of an owner; only those to *grantees*, if given."""
        table = self.table.c
        statement = select(self.table).where(table.owner == owner)
        if resource is not None:
            statement = statement.where(table.resource == resource)
        if grantees is not None:
            statement = statement.where(table.grantee.in_(grantees))
        return await self._page(connection, statement, at=at, limit=limit, cursor=cursor)

    async def page_received(
        self, connection: AsyncConnection, principal: Principal, *, at: datetime, limit: int, cursor: str | None
    ) -> GrantPage:
        """Return some of what was granted to *principal* by others."""
        table = self.table.c
        statement = select(self.table).where(
            table.grantee.in_(grantees_of(principal)), table.owner != principal.subject
        )
        return await self._page(connection, statement, at=at, limit=limit, cursor=cursor)

    async def _page(
        self, connection: AsyncConnection, statement: Select[Any], *, at: datetime, limit: int, cursor: str | None
    ) -> GrantPage:
        table = self.table.c
        statement = statement.where(self._good).order_by(table.seq.desc()).limit(limit + 1)
        if cursor is not None:
            statement = statement.where(table.seq < read_cursor(cursor, _KIND))
        rows = (await connection.execute(statement, {"at": at})).all()
        more = write_cursor(rows[limit - 1].seq, _KIND) if len(rows) > limit else None
        return GrantPage(items=[self.to_grant(row) for row in rows[:limit]], next_cursor=more)

    # --- inside -------------------------------------------------------------------------------------------------

    def to_grant(self, row: Row[Any]) -> Grant:
        """Return the record of a row."""
        names = ("owner", "grantee", "right", "created_at", "created_by", "expires_at")
        return Grant(resource=f"{self._word}:{row.resource}", **{name: getattr(row, name) for name in names})

    def _place(self, owner: str, resource: str, grantee: str) -> tuple[Any, ...]:
        table = self.table.c
        return (table.owner == owner, table.resource == resource, table.grantee == grantee)


def renewed(known: Grant | None, wish: ShareWorkload | ShareFolder, resource: str, owner: str) -> Grant:
    """Return the grant that a wish makes; one that there was keeps who made it and when."""
    moment = now()
    if wish.grantee == f"user:{owner}":
        raise InvalidError.of("grantee", f"it belongs to {owner}: nothing need be granted")
    if wish.expires_at is not None and wish.expires_at <= moment:
        raise InvalidError.of("expires_at", "must lie in the future")
    if known is not None and known.is_good_at(moment):
        return known.model_copy(update={"right": wish.right, "expires_at": wish.expires_at})
    return Grant(
        resource=resource,
        owner=owner,
        grantee=wish.grantee,
        right=wish.right,
        created_at=moment,
        created_by=wish.principal.subject,
        expires_at=wish.expires_at,
    )


def require_found(grant: Grant | None, grantee: str, at: datetime) -> Grant:
    """Return a grant, or refuse to speak of one that is not there, or not any more."""
    if grant is None or not grant.is_good_at(at):
        raise NotFoundError(f"it is not shared with {grantee}")
    return grant
