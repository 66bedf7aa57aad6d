"""From facts of the event log, of jobs and of arrays, to what they change in the ledger."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.events import WorkloadMoved, WorkloadTasksMoved

from .batches import parts_of_batch
from .segments import Changes, fold

__all__ = ["Counted", "fold_all"]

Counted = WorkloadMoved | WorkloadTasksMoved
"""The facts that the ledger is made of."""


def fold_all(facts: Iterable[tuple[int, Counted]]) -> Changes:
    """Return what *facts* (each with its place in the log) change, in whatever order and however often they come."""
    moves: list[tuple[int, WorkloadMoved]] = []
    batches: dict[tuple[str, int], tuple[int, WorkloadTasksMoved]] = {}
    for sequence, fact in facts:
        if isinstance(fact, WorkloadMoved):
            moves.append((sequence, fact))
        else:
            batches.setdefault((fact.workload_id, fact.batch), (sequence, fact))
    changes = fold(moves)
    for sequence, batch in batches.values():
        changes.parts.extend(parts_of_batch(sequence, batch))
    return changes
