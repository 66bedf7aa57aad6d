"""What is kept once for each array: its items, and the inputs that differ from task to task."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.runs import FrozenInput
from services.scheduler.records import Record
from services.scheduler.tables import arrays

__all__ = ["Keeping", "array_row", "pack", "unpack"]

_REMEMBERED = 4
"""Arrays whose items are kept in memory: each may be some megabytes."""


def pack(found: Any) -> bytes:
    """Return something as it lies in the table."""
    return zlib.compress(orjson.dumps(found), 1)


def unpack(raw: bytes) -> Any:
    """Read it back."""
    return orjson.loads(zlib.decompress(raw))


def array_row(
    workload_id: str, items: list[str] | None, items_of: str | None, inputs: list[FrozenInput]
) -> dict[str, Any]:
    """Return the row of an array that has just been let in."""
    by_source = {item.source: item.model_dump(mode="json") for item in inputs}
    return {
        "workload_id": workload_id,
        "items_of": workload_id if items is not None else items_of,
        "items": pack(items) if items is not None else None,
        "inputs": pack(by_source) if by_source else None,
        "position": 0,
        "bundle": 0,
        "withdrawn": "",
        "tried": "",
        "refused": "",
    }


class Keeping:
    """Reads items; the last few arrays' stay in memory, for bundles follow each other."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, list[str]] = OrderedDict()

    async def items(self, connection: AsyncConnection, array: Record) -> list[str] | None:
        """Return all items of an array by task number, or None if it has none."""
        owner: str | None = array["items_of"]
        if owner is None:
            return None
        if owner not in self._items:
            raw = (
                await connection.execute(select(arrays.c["items"]).where(arrays.c.workload_id == owner))
            ).scalar_one()
            self._items[owner] = unpack(raw)
            while len(self._items) > _REMEMBERED:
                self._items.popitem(last=False)
        self._items.move_to_end(owner)
        return self._items[owner]

    @staticmethod
    def inputs(array: Record) -> dict[str, FrozenInput]:
        """Return the inputs that differ from task to task, by their source."""
        found: dict[str, Any] = unpack(array["inputs"]) if array["inputs"] else {}
        return {source: FrozenInput.model_validate(item, extra="ignore") for source, item in found.items()}
