"""Compares what the table says of native jobs with what the cluster shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState, Seen

from .words import JobState

__all__ = ["Comparison", "compare"]

_Row = Any
"""A row as `jobs.live` gives it."""

_MISSES = 2
"""Looks in a row that do not show a native job, after which it is gone."""

_SETTLED = timedelta(seconds=2)
"""A job that was started so lately before a look may not be shown yet."""

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


def compare(rows: Iterable[_Row], seen: Mapping[str, Seen], at: datetime, misses: dict[str, int]) -> Comparison:
    """Compare the rows as they were before a look, which began *at* that moment; *misses* is kept from look to look."""
    found = Comparison()
    known: set[str] = set()
    for row in rows:
        known.add(row.name)
        one = seen.get(row.name)
        if one is None:
            _missed(row, at, misses, found)
        else:
            misses.pop(row.name, None)
            _met(row, one, found)
    for name in misses.keys() - known:
        del misses[name]
    found.strange = [one for name, one in seen.items() if name not in known]
    return found


def _missed(row: _Row, at: datetime, misses: dict[str, int], found: Comparison) -> None:
    if row.state == JobState.ENDED:
        found.to_remove.append(row)
    elif row.state == JobState.STARTED and row.started_at < at - _SETTLED:
        misses[row.name] = misses.get(row.name, 0) + 1
        if row.stop_at or misses[row.name] >= _MISSES:
            ending = None if row.stop_at else Reason.LOST
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
    if row.claimed_at and one.state is NativeState.WAITING and not row.stop_at:
        found.again.append(row)
    if row.stop_at:
        found.to_stop.append(row)


def _differs(row: _Row, one: Seen) -> bool:
    is_same = row.seen == one.state and row.native_id == one.native_id and row.node == one.node
    return not is_same or (row.reason, row.ending, row.exit_code) != (one.reason, one.ending, one.exit_code)
