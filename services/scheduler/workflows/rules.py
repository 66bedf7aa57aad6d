"""By which rules workflows have their steps done, and what they tell Temporal of themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy, SearchAttributeKey

__all__ = ["BACKEND", "PATIENTLY", "STATE", "backoff_before"]

STATE = SearchAttributeKey.for_keyword("State")
BACKEND = SearchAttributeKey.for_keyword("Backend")

PATIENTLY: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=30)),
    "local_retry_threshold": timedelta(minutes=10),
}
"""A step is tried until it works: what it needs (database, storage, NATS) will come back. Pauses between tries stay
inside the local activity; the workflow task is kept alive meanwhile."""

_LONGEST_BACKOFF = 3600.0


def backoff_before(attempt: int, first: float) -> float:
    """Return the seconds of pause before *attempt*, the second one being the first that waits."""
    return min(first * 2.0 ** max(0, attempt - 2), _LONGEST_BACKOFF)
