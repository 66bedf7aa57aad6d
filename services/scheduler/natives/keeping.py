"""Which attempts a keeper looks after: it hears of their native job's end from the cluster, all in one call."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Exists, select

from services.scheduler.tables import native_attempts as attempts

from .words import OPEN

__all__ = ["is_kept"]


def is_kept(workload_id: ColumnElement[Any], attempt: ColumnElement[Any]) -> Exists:
    """Return the condition that an attempt is in the table of the clusters; its keeper tells if it comes to nothing."""
    return (
        select(attempts.c.number)
        .where(attempts.c.workload_id == workload_id, attempts.c.attempt == attempt, attempts.c.state.in_(OPEN))
        .exists()
    )
