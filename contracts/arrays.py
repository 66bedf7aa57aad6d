"""Arrays: one job that is many tasks, alike but for a number or a word."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from .model import Model
from .ranges import MAX_RANGES, Ranges

__all__ = ["MAX_ITEMS_BYTES", "MAX_TASKS", "ArraySpec", "Placed", "check_places", "fill", "has_place"]

MAX_TASKS = 100_000

MAX_ITEMS_BYTES = 7 * 2**19
"""3.5 MiB of all items together, as JSON: a command and the event that tells of it must each fit into 8 MB."""

_PLACE = re.compile(r"\{(index|item)\}")
_ANY_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')

Item = Annotated[str, StringConstraints(max_length=8192)]


class ArraySpec(Model):
    """Run the job once for each number below `count`, or once for each of `items`."""

    count: int | None = Field(default=None, ge=1, le=MAX_TASKS, examples=[100])
    items: list[Item] | None = Field(default=None, min_length=1, max_length=MAX_TASKS)
    """Words, one for each task; `{item}` stands for them. They are kept, but not repeated in records."""
    only: str | None = Field(default=None, max_length=MAX_RANGES, examples=["3,7-10"])
    """Only these tasks, by number; by default all."""
    max_running: int | None = Field(default=None, ge=1, le=MAX_TASKS)
    """How many may run at once; by default as many as there is room for."""
    listed: bool = False
    """In records: there are items, which are not repeated there; a task's own is shown with the task."""

    @field_validator("items")
    @classmethod
    def _check_items(cls, items: list[str] | None) -> list[str] | None:
        if items is None:
            return None
        for number, item in enumerate(items):
            if "\x00" in item:
                raise ValueError(f"item {number} holds a NUL character")
        if (size := items_bytes(items)) > MAX_ITEMS_BYTES:
            raise ValueError(f"all items together are {size} bytes as JSON; at most {MAX_ITEMS_BYTES} are taken")
        return items

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if (self.count is None) == (self.items is None):
            raise ValueError("give either count or items")
        if self.only is not None and (highest := Ranges.parse(self.only).highest) >= self.size:
            raise ValueError(f"only: there is no task {highest}; tasks are numbered from 0 to {self.size - 1}")
        return self

    @property
    def size(self) -> int:
        """Return how many tasks there are numbers for."""
        return self.count if self.count is not None else len(self.items or ())

    @property
    def tasks(self) -> Ranges:
        """Return the numbers of the tasks that are to run."""
        return Ranges.first(self.size) if self.only is None else Ranges.parse(self.only)

    def kept(self) -> ArraySpec:
        """Return it as records carry it: the items are kept elsewhere, once."""
        return (
            self if self.items is None else self.model_copy(update={"count": self.size, "items": None, "listed": True})
        )


def items_bytes(items: Iterable[str]) -> int:
    """Return the size of items as JSON, at least."""
    return sum(len(item.encode("utf-8", "surrogatepass")) + 3 + 5 * len(_ESCAPED.findall(item)) for item in items)


def has_place(text: str) -> bool:
    """Say whether a text differs from task to task."""
    return "{i" in text and _PLACE.search(text) is not None


def fill(text: str, index: int, item: str | None) -> str:
    """Put a task's number and item into a text; what else stands in braces is left as it is."""
    if "{i" not in text:
        return text
    word = str(index) if item is None else item
    return _PLACE.sub(lambda found: str(index) if found[1] == "index" else word, text)


Placed = tuple[str, str]
"""The name of a field, and a text in it."""


def check_places(array: ArraySpec, texts: Iterable[Placed], paths: Iterable[Placed]) -> None:
    """Raise `ValueError` where a placeholder means nothing; *paths* must be paths for every task."""
    for field, text in (*texts, *paths):
        if array.items is None and not array.listed and "{item}" in text:
            raise ValueError(f"{field}: {{item}} has no meaning without array.items; use {{index}}")
    for field, path in paths:
        for name in _ANY_PLACE.findall(path):
            if name not in {"index", "item"}:
                raise ValueError(f"{field}: there is no {{{name}}}; there are {{index}} and {{item}}")
