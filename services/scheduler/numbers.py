"""Numbers and names that belong to one workload alone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .records import Record
from .tables import counters, workloads

__all__ = ["claimed_of", "claims_taken", "find_all_numbered", "know_number", "take_numbers"]

_COUNTER = counters.c.name == "workloads"
_TAKE = update(counters).where(_COUNTER).values(value=counters.c.value + bindparam("many")).returning(counters.c.value)
_KNOW = update(counters).where(_COUNTER, counters.c.value < bindparam("number")).values(value=bindparam("number"))
_NUMBERED = select(workloads).where(workloads.c.number == bindparam("wanted"))
_ALL_NUMBERED = select(workloads).where(workloads.c.number.in_(bindparam("wanted", expanding=True)))
_CLAIMED = select(workloads.c.owner, workloads.c.claimed_name).where(
    workloads.c.claimed_name.in_(bindparam("names", expanding=True)),
    workloads.c.owner.in_(bindparam("owners", expanding=True)),
)


async def take_numbers(connection: AsyncConnection, many: int) -> range:
    """Return numbers that nobody has; with the transaction they are given back."""
    last: int = (await connection.execute(_TAKE, {"many": many})).scalar_one()
    return range(last - many + 1, last + 1)


async def know_number(connection: AsyncConnection, number: int) -> None:
    """Give no number up to this one any more."""
    await connection.execute(_KNOW, {"number": number})


async def find_all_numbered(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, Record]:
    """Return the rows of the workloads of some numbers, by number, those that there are."""
    if len(numbers) == 1:  # most often; a list costs more than one
        rows = (await connection.execute(_NUMBERED, {"wanted": numbers[0]})).mappings()
    else:
        rows = (await connection.execute(_ALL_NUMBERED, {"wanted": numbers})).mappings()
    return {row["number"]: dict(row) for row in rows}


def claimed_of(row: Record) -> tuple[str, str] | None:
    """Return the owner and the name that a workload claims for itself."""
    return (row["owner"], row["claimed_name"]) if row["claimed_name"] is not None else None


async def claims_taken(connection: AsyncConnection, rows: Sequence[Record]) -> dict[int, str]:
    """Return which of new workloads claim a name that another one has, or one before them: the name by the place."""
    wanted = {place: claim for place, row in enumerate(rows) if (claim := claimed_of(row))}
    if not wanted:
        return {}
    values = {
        "owners": sorted({owner for owner, _ in wanted.values()}),
        "names": sorted({name for _, name in wanted.values()}),
    }
    taken = {(row.owner, row.claimed_name) for row in await connection.execute(_CLAIMED, values)}
    late: dict[int, str] = {}
    for place, claim in wanted.items():
        if claim in taken:
            late[place] = claim[1]
        taken.add(claim)
    return late
