"""Reads the ledger: sums over parts of segments, segments that are open, how far the log has been read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Table, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.usage import GroupBy
from services.chassis.policy import Scope

from .moves import STREAM
from .summary import Group, Sums
from .tables import PARTS, POSITION, SEGMENTS

__all__ = ["Selection", "count_open", "read_position", "read_sums"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which parts count."""

    scope: Scope
    owner: str | None = None
    project: str | None = None
    backend: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    until_sequence: int | None = None
    """Only what the log said up to here."""

    def conditions(self, table: Table) -> list[ColumnElement[bool]]:
        """Return who and where, as conditions on parts or segments."""
        found: list[ColumnElement[bool]] = []
        if not self.scope.everything:
            theirs = table.c.owner == self.scope.owner
            found.append(or_(theirs, table.c.project.in_(sorted(self.scope.projects))))
        wanted = {"owner": self.owner, "project": self.project, "backend": self.backend}
        return found + [table.c[name] == value for name, value in wanted.items() if value is not None]


_SUMMED = ("segments", "wall_us", "cpu_us", "cpu_used_us", "gpu_us", "gpu_used_us", "memory_mib_ms")
"""The columns that are added up, in the order of `Sums`; the largest peak follows."""


async def read_sums(connection: AsyncConnection, by: Sequence[GroupBy], selection: Selection) -> dict[Group, Sums]:
    """Return the sums of the parts in *selection*, one for each group of *by*."""
    # The sums of one day fit into 64 bits; those of years are added up here, where integers do not end.
    keys: list[Any] = [PARTS.c[key.value] for key in by if key is not GroupBy.DAY] + [PARTS.c.day]
    figures = [func.sum(PARTS.c[name]).label(name) for name in _SUMMED]
    statement = select(*keys, *figures, func.max(PARTS.c.memory_peak).label("memory_peak")).group_by(*keys)
    sums: dict[Group, Sums] = {}
    for row in await connection.execute(statement.where(*_conditions_on_parts(selection))):
        group = Group(**{key.value: _word(getattr(row, key.value)) for key in by})
        figure = Sums(*(int(getattr(row, name)) for name in (*_SUMMED, "memory_peak")))
        sums[group] = sums[group] + figure if group in sums else figure
    return sums


def _word(value: date | str | None) -> str | None:
    return value.isoformat() if isinstance(value, date) else value


def _conditions_on_parts(selection: Selection) -> list[ColumnElement[bool]]:
    found = selection.conditions(PARTS)
    if selection.first_day:
        found.append(PARTS.c.day >= selection.first_day)
    if selection.last_day:
        found.append(PARTS.c.day <= selection.last_day)
    if selection.until_sequence is not None:
        found.append(PARTS.c.sequence <= selection.until_sequence)
    return found


async def count_open(connection: AsyncConnection, selection: Selection) -> int:
    """Return how many attempts hold room."""
    closed = SEGMENTS.c.closed_sequence
    conditions = [*selection.conditions(SEGMENTS), SEGMENTS.c.opened_sequence.is_not(None)]
    if selection.until_sequence is None:
        conditions.append(closed.is_(None))
    else:
        conditions.append(SEGMENTS.c.opened_sequence <= selection.until_sequence)
        conditions.append(or_(closed.is_(None), closed > selection.until_sequence))
    statement = select(func.count()).select_from(SEGMENTS).where(*conditions)
    return int((await connection.execute(statement)).scalar_one())


async def read_position(connection: AsyncConnection) -> int:
    """Return the last event of the log that is in the ledger; 0 if none is."""
    statement = select(POSITION.c.sequence).where(POSITION.c.stream == STREAM)
    return int((await connection.execute(statement)).scalar() or 0)
