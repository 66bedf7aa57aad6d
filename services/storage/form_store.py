"""Statements on the tables of forms. Those that write run inside a transaction of their caller's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.unit import upsert_for

from .store import OpenedUpload
from .tables import ARRIVALS, FORMS, UPLOADS

__all__ = [
    "Known",
    "OpenedForm",
    "add_form",
    "forget_form",
    "forms_of",
    "forms_under_way",
    "known_arrivals",
    "note_arrival",
    "note_copy",
]

_OF_OWNER = select(FORMS).where(FORMS.c.owner == bindparam("wanted"))
"""Built once: every look at files begins with it."""


@dataclass(frozen=True, slots=True)
class OpenedForm:
    """A form by which files may still come."""

    id: str
    owner: str
    folder: str
    guest: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """Something that came, as it was dealt with."""

    tag: str
    key: str


async def add_form(connection: AsyncConnection, form: OpenedForm) -> None:
    """Remember a form."""
    await connection.execute(insert(FORMS).values(asdict(form)))


async def forms_of(connection: AsyncConnection, owner: str) -> list[OpenedForm]:
    """Return the forms by which files of one owner may come."""
    rows = await connection.execute(_OF_OWNER, {"wanted": owner})
    return [OpenedForm(*row) for row in rows]


async def forms_under_way(connection: AsyncConnection) -> list[OpenedForm]:
    """Return all forms."""
    return [OpenedForm(*row) for row in await connection.execute(select(FORMS).order_by(FORMS.c.expires_at))]


async def forget_form(connection: AsyncConnection, form_id: str) -> None:
    """Forget a form, and what came by it."""
    await connection.execute(delete(ARRIVALS).where(ARRIVALS.c.form_id == form_id))
    await connection.execute(delete(FORMS).where(FORMS.c.id == form_id))


async def known_arrivals(connection: AsyncConnection, form_id: str) -> dict[str, Known]:
    """Return what came by a form and was dealt with, by name."""
    rows = await connection.execute(select(ARRIVALS).where(ARRIVALS.c.form_id == form_id))
    return {row.name: Known(row.tag, row.key) for row in rows}


async def note_arrival(connection: AsyncConnection, form_id: str, name: str, known: Known) -> None:
    """Remember that something was dealt with."""
    values = {"form_id": form_id, "name": name, **asdict(known)}
    statement = upsert_for(connection)(ARRIVALS).values(values)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["form_id", "name"], set_={"tag": known.tag, "key": known.key})
    )


async def note_copy(connection: AsyncConnection, copy: OpenedUpload, expires_at: datetime) -> None:
    """Have the sweep know of an object that is being made, should we not come to its end."""
    values = {**asdict(copy), "expires_at": expires_at}
    await connection.execute(
        upsert_for(connection)(UPLOADS).values(values).on_conflict_do_nothing(index_elements=["key"])
    )
