"""Another name for a file or a tree: one statement for each table, so that no half of a move is ever seen."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, and_, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import InvalidError

from .folders import below
from .tables import FILES, FOLDERS

__all__ = ["move_one", "move_tree", "require_short"]

_LONGEST = 1024
"""Characters of a path."""


async def move_one(connection: AsyncConnection, owner: str, path: str, to: str) -> bool:
    """Give one file another name; says whether it was there. Nothing may have the new name."""
    place = (FILES.c.owner == owner, FILES.c.path == path)
    return bool((await connection.execute(update(FILES).where(*place).values(path=to))).rowcount)


async def move_tree(connection: AsyncConnection, owner: str, folder: str, to: str) -> tuple[int, int]:
    """Give all that is in a folder another one, both with `/` at their end; returns how many files and folders."""
    moved = [await connection.execute(_moved(table, owner, folder, to)) for table in (FILES, FOLDERS)]
    return moved[0].rowcount, moved[1].rowcount


def _moved(table: Table, owner: str, folder: str, to: str) -> Any:
    renamed = literal(to).concat(func.substr(table.c.path, len(folder) + 1))
    return update(table).where(and_(*below(table, owner, folder))).values(path=renamed)


async def require_short(connection: AsyncConnection, owner: str, folder: str, to: str) -> None:
    """Refuse a move after which a path would be too long."""
    longest = select(func.max(func.length(FILES.c.path))).where(*below(FILES, owner, folder))
    characters = (await connection.execute(longest)).scalar() or 0
    if characters - len(folder) + len(to) > _LONGEST:
        raise InvalidError.of("to", f"the path of a file in it would be longer than {_LONGEST} characters")
