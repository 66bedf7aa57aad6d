"""The chain of messages to which a workload's own moves belong."""

from __future__ import annotations

import hashlib

from contracts.envelope import Context

__all__ = ["workload_context"]


def workload_context(workload_id: str) -> Context:
    """Return the context of what the scheduler does for a workload by itself: one trace for its whole life."""
    digest = hashlib.sha256(workload_id.encode()).hexdigest()
    return Context("service:scheduler", workload_id, None, f"00-{digest[:32]}-{digest[32:48]}-01")
