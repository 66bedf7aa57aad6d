"""By which rules workflows have their steps done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy

__all__ = ["PATIENTLY"]

PATIENTLY: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=30)),
    "local_retry_threshold": timedelta(minutes=10),
}
"""A step is tried until it works: what it needs (database, storage, NATS) will come back. Pauses between tries stay
inside the local activity; the workflow task is kept alive meanwhile."""
