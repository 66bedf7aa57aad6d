"""Which attempts lie in the queue of a cluster: they have nothing to say, and a keeper looks after them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Exists, select

from services.scheduler.tables import native_attempts as attempts

from .words import AttemptState

__all__ = ["lies_in_queue"]

_QUIET = (AttemptState.WAITING.value, AttemptState.PLACED.value)


def lies_in_queue(workload_id: ColumnElement[Any], attempt: ColumnElement[Any]) -> Exists:
    """Return the condition that no pilot has an attempt yet; its keeper tells if none ever will."""
    return (
        select(attempts.c.number)
        .where(attempts.c.workload_id == workload_id, attempts.c.attempt == attempt, attempts.c.state.in_(_QUIET))
        .exists()
    )
