"""What can be in the way of a run."""

from __future__ import annotations

from contracts.states import Reason

__all__ = ["NoBoxError"]


class NoBoxError(Exception):
    """A run cannot have its container; *reason* is how it ends for that."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
