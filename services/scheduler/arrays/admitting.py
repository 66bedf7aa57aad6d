"""Lets arrays in: what is kept of them once, and the inputs that differ from task to task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.arrays import ArraySpec, fill, has_place
from contracts.errors import InvalidError
from contracts.principals import Principal
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.spec import Input
from contracts.tasks import TaskCounts

__all__ = ["first_counts", "freeze", "require_items"]

MAX_SOURCES = 10_000
"""Different files that the tasks of one array may read."""

_AT_ONCE = 500

Ask = Callable[[FreezeInputs], Awaitable[Any]]


def require_items(array: ArraySpec) -> None:
    """Refuse a spec that was copied from a record: its items were not in it."""
    if array.listed and array.items is None:
        raise InvalidError.of("array.items", "a record does not repeat the items of its array: give them again")


def first_counts(array: ArraySpec) -> TaskCounts:
    """Return the counts of an array that has just been let in."""
    total = len(array.tasks)
    return TaskCounts(total=total, pending=total, has_items=array.listed or array.items is not None)


async def freeze(
    inputs: list[Input], array: ArraySpec, items: list[str] | None, principal: Principal, ask: Ask
) -> tuple[list[FrozenInput], list[FrozenInput]]:
    """Return the inputs that all tasks share, and those that differ from task to task."""
    alike = [item for item in inputs if not has_place(item.source)]
    shared: Frozen = await ask(FreezeInputs(principal=principal, inputs=alike)) if alike else Frozen(inputs=[])
    sources: dict[str, None] = {}
    for place, item in enumerate(inputs):
        if has_place(item.source):
            _collect(sources, f"inputs.{place}.source", item, array, items)
    own: list[FrozenInput] = []
    names = list(sources)
    for start in range(0, len(names), _AT_ONCE):
        wanted = [Input(source=name) for name in names[start : start + _AT_ONCE]]
        found: Frozen = await ask(FreezeInputs(principal=principal, inputs=wanted))
        own += found.inputs
    return shared.inputs, own


def _collect(sources: dict[str, None], field: str, item: Input, array: ArraySpec, items: list[str] | None) -> None:
    for index in array.tasks:
        sources[fill(item.source, index, items[index] if items else None)] = None
        if len(sources) > MAX_SOURCES:
            raise InvalidError.of(field, f"the tasks would read more than {MAX_SOURCES} different files")
