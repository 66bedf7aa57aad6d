"""Who may do what with files: their owner, whoever sees everything, and with whom a folder is shared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFoundError
from contracts.model import now
from contracts.principals import Principal
from services.chassis.grants import Grants
from services.chassis.policy import Power, grantees_of, power_over, require_power

from .listing import successor
from .tables import GRANTS as TABLE

__all__ = ["GRANTS", "Range", "folders_of", "owner_for", "ranges_for", "require_on_folder", "within"]

GRANTS = Grants(TABLE, "folder")
"""What is shared with whom; a resource is the path of a folder without a `/` at its end."""

Range = tuple[str, str | None]
"""Paths from the first on and below the second."""

_MOST_FOLDERS = 1000
"""Shared folders that one listing goes through."""


def folders_of(path: str) -> Iterator[str]:
    """Give the folders in which a file or folder lies, the largest first."""
    place = path.find("/")
    while place >= 0:
        yield path[:place]
        place = path.find("/", place + 1)


async def owner_for(
    connection: AsyncConnection, principal: Principal, owner: str | None, path: str, needed: Power = Power.READ
) -> str:
    """Return whose file is meant, or refuse; for grants is looked only where nothing else lets *principal* in."""
    if owner is None or owner == principal.subject:
        return principal.subject
    power = power_over(principal, owner, None)
    if power < needed:
        granted = await GRANTS.power(connection, owner, list(folders_of(path)), principal, now())
        power = max(power, granted)
    require_power(power, needed, f"the file {path}")
    return owner


def require_on_folder(principal: Principal, owner: str | None, path: str) -> str:
    """Return whose folder is meant, or refuse whoever may not share it."""
    whose = owner or principal.subject
    require_power(power_over(principal, whose, None), Power.OWN, f"the folder {path}")
    return whose


async def ranges_for(connection: AsyncConnection, principal: Principal, owner: str, prefix: str) -> list[Range]:
    """Return the ranges of paths of *owner*'s files below *prefix* that *principal* may list, in order."""
    whole = (prefix, successor(prefix))
    if power_over(principal, owner, None) >= Power.READ:
        return [whole]
    moment = now()
    if await GRANTS.power(connection, owner, list(folders_of(prefix)), principal, moment):
        return [whole]
    table = TABLE.c
    statement = (
        select(table.resource)
        .where(
            *(table.owner == owner, table.grantee.in_(grantees_of(principal)), table.resource >= prefix),
            or_(table.expires_at.is_(None), table.expires_at > moment),
        )
        .distinct()
        .order_by(table.resource)
        .limit(_MOST_FOLDERS)
    )
    if whole[1] is not None:
        statement = statement.where(table.resource < whole[1])
    folders = [f"{folder}/" for folder in (await connection.execute(statement)).scalars()]
    if not folders:
        raise NotFoundError("the user's files do not exist")
    return [(folder, successor(folder)) for folder in _outermost(folders)]


def _outermost(folders: Iterable[str]) -> list[str]:
    """Leave out folders that lie in others of them."""
    found: list[str] = []
    for folder in sorted(folders):
        if not found or not folder.startswith(found[-1]):
            found.append(folder)
    return found


def within(ranges: Iterable[Range], start: str, end: str | None) -> list[Range]:
    """Return those parts of *ranges* that lie from *start* on and below *end*."""
    found: list[Range] = []
    for first, last in ranges:
        until = last if end is None else end if last is None else min(last, end)
        begin = max(first, start)
        if until is None or begin < until:
            found.append((begin, until))
    return found
