"""Python's collector of cycles: by default it walks through all that a service holds many times a second."""

from __future__ import annotations

import gc

__all__ = ["spare_collector"]

_COLLECT_AFTER = 20_000
"""Objects after which the collector looks at the youngest; each request makes some hundreds that live shortly."""


def spare_collector() -> None:
    """Let the collector run more rarely, and pass over what is there already: call this before serving."""
    # What was imported stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
