"""What each owner's files come to, counted in the transaction that changes them."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.unit import upsert_for

from .tables import USAGE

__all__ = ["add_usage"]


async def add_usage(connection: AsyncConnection, owner: str, files: int, size: int) -> None:
    """Count files and bytes that came, or went if they are negative."""
    row = upsert_for(connection)(USAGE).values({"owner": owner, "files": files, "size": size})
    counted = {"files": USAGE.c.files + files, "size": USAGE.c.size + size}
    await connection.execute(row.on_conflict_do_update(index_elements=["owner"], set_=counted))
