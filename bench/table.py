"""What a row of the table is, and how rows are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .ground import Ground

__all__ = ["Figure", "Row", "as_markdown", "as_text"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One judged figure of a row."""

    what: str
    ours: str
    beside: str
    """What it is compared with, measured in the same run; empty if the limit is a plain number."""
    value: float
    limit: float | None
    """None where the figure only stands beside another one that is judged."""
    unit: str = ""
    """Of value, limit and aim: empty for a ratio."""
    aim: float | None = None
    small_is_good: bool = False

    @property
    def holds(self) -> bool | None:
        """Say whether the limit is kept; None if there is none."""
        if self.limit is None:
            return None
        return self.value <= self.limit if self.small_is_good else self.value >= self.limit

    @property
    def verdict(self) -> str:
        """Return the value beside its limit, in words."""
        if self.limit is None:
            return f"{_number(self.value)} {self.unit}".rstrip()
        bound = "≤" if self.small_is_good else "≥"
        aim = "" if self.aim is None else f", aim {_number(self.aim)}"
        unit = f" {self.unit}" if self.unit else ""
        return f"{_number(self.value)}{unit} ({bound} {_number(self.limit)}{aim})"


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its name, what it shows, and how it is measured."""

    name: str
    what: str
    measure: Callable[[Ground], list[Figure]]
    notes: list[str] = field(default_factory=list)
    """Further lines that a measurement wants to have printed; cleared by whoever prints them."""


_MARKS = {True: "holds ", False: "MISSED", None: "shown "}
_WORDS = {True: "yes", False: "**no**", None: ""}


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


def as_text(figure: Figure) -> str:
    """Return a line for the terminal."""
    mark = _MARKS[figure.holds]
    beside = f" beside {figure.beside}" if figure.beside else ""
    return f"  {mark} {figure.what}: {figure.ours}{beside}: {figure.verdict}"


def as_markdown(found: Iterable[tuple[Row, list[Figure], list[str], str]]) -> str:
    """Return the table; each row comes with its notes and the load it was measured under."""
    lines = [
        "| row | what | ours | beside, in the same run | limit and aim | holds | load |",
        "|---|---|---|---|---|---|---|",
    ]
    remarks: list[str] = []
    for row, figures, notes, load in found:
        for figure in figures:
            holds = _WORDS[figure.holds]
            cells = (row.name, figure.what, figure.ours, figure.beside, figure.verdict, holds, load)
            lines.append(f"| {' | '.join(cells)} |")
        remarks += [f"- `{row.name}`: {note}" for note in notes]
    return "\n".join([*lines, "", *remarks]).rstrip() + "\n"
