"""Who wants no mail: users, and addresses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.unit import upsert_for
from services.scheduler.tables import mail_refusals

__all__ = ["allow", "of_address", "of_user", "refuse", "since"]


def of_user(subject: str) -> str:
    """Return how the wish of a user is written down."""
    return f"user:{subject}"


def of_address(address: str) -> str:
    """Return how the wish of whoever reads the mail of an address is written down."""
    return f"to:{address.lower()}"


async def since(connection: AsyncConnection, names: Sequence[str]) -> datetime | None:
    """Return since when any of these wants no mail; none if all want it."""
    statement = select(func.min(mail_refusals.c.at)).where(mail_refusals.c.who.in_(names))
    found: datetime | None = (await connection.execute(statement)).scalar_one()
    return found


async def refuse(connection: AsyncConnection, who: str, at: datetime) -> bool:
    """Write down that somebody wants no mail; says whether that is new."""
    statement = upsert_for(connection)(mail_refusals).values(who=who, at=at).on_conflict_do_nothing()
    return bool((await connection.execute(statement)).rowcount)


async def allow(connection: AsyncConnection, names: Sequence[str]) -> bool:
    """Write down that they want mail; says whether that is new."""
    gone = await connection.execute(delete(mail_refusals).where(mail_refusals.c.who.in_(names)))
    return bool(gone.rowcount)
