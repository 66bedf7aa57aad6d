"""Compares what the table says of native jobs with what the cluster shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState, Seen

from .words import JobState

__all__ = ["Comparison", "compare"]

_Row = Any
"""A row as `jobs.live` gives it."""

_MISSES = 2
"""Looks in a row that do not show a native job, after which it is gone."""

_LOST = "the cluster knows nothing of it any more"
_AGAIN = "the cluster began it anew, so what it ran was interrupted"


@dataclass(slots=True)
class Comparison:
    """What is to be done."""

    changed: list[Seen] = field(default_factory=list)
    """What the table says otherwise."""
    found: list[Seen] = field(default_factory=list)
    """There, although nobody knew whether they were started."""
    over: list[tuple[_Row, Seen]] = field(default_factory=list)
    """Ended, or forgotten."""
    to_stop: list[_Row] = field(default_factory=list)
    to_remove: list[_Row] = field(default_factory=list)
    again: list[_Row] = field(default_factory=list)
    """Begun anew by the cluster although a pilot had them: that pilot is no more."""
    strange: list[Seen] = field(default_factory=list)
    """Not among those that are known to be there."""


def compare(rows: Iterable[_Row], seen: Mapping[str, Seen], misses: dict[str, int]) -> Comparison:
    """Compare the rows as they were before a look with what it showed; *misses* is kept from look to look."""
    found = Comparison()
    strange = dict(seen)
    for row in rows:
        one = strange.pop(row.name, None)
        if one is None:
            _missed(row, misses, found)
            continue
        if misses:
            misses.pop(row.name, None)
        if not _is_calm(row, one):
            _met(row, one, found)
    found.strange = list(strange.values())
    return found


def _is_calm(row: _Row, one: Seen) -> bool:
    """Say whether a native job stands as it did and nothing is wanted of it; of ten thousand, most do."""
    is_same = row.seen == one.state and row.reason == one.reason and row.node == one.node
    return (
        is_same
        and row.native_id == one.native_id
        and row.state == _STARTED
        and not row.stopping
        and row.seen in _CALM[row.claimed]
    )


_STARTED = JobState.STARTED.value
_CALM = {True: (NativeState.RUNNING.value,), False: (NativeState.RUNNING.value, NativeState.WAITING.value)}
"""By whether a pilot has it: one that waits although a pilot had it was begun anew."""


def _missed(row: _Row, misses: dict[str, int], found: Comparison) -> None:
    if row.state == JobState.ENDED:
        found.to_remove.append(row)
    elif row.state == JobState.STARTED and row.settled:
        misses[row.name] = misses.get(row.name, 0) + 1
        if row.stopping or misses[row.name] >= _MISSES:
            ending = None if row.stopping else Reason.LOST
            gone = Seen(row.name, row.native_id, NativeState.ENDED, _LOST, ending, None, row.node)
            found.over.append((row, gone))


def _met(row: _Row, one: Seen, found: Comparison) -> None:
    if row.state == JobState.NAMED:
        found.found.append(one)
        return
    if row.state == JobState.ENDED:
        (found.to_remove if one.state is NativeState.ENDED else found.to_stop).append(row)
        return
    if _differs(row, one):
        found.changed.append(one)
    if one.state is NativeState.ENDED:
        found.over.append((row, one))
        return
    if row.claimed and one.state is NativeState.WAITING and not row.stopping:
        found.again.append(row)
    if row.stopping:
        found.to_stop.append(row)


def _differs(row: _Row, one: Seen) -> bool:
    is_same = row.seen == one.state and row.native_id == one.native_id and row.node == one.node
    return not is_same or (row.reason, row.ending, row.exit_code) != (one.reason, one.ending, one.exit_code)
