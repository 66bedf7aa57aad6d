"""What can go wrong between the pilot and the rest of the world."""

from __future__ import annotations

__all__ = ["AwayError", "ExpiredError", "QuotaError", "RefusedError", "TroubleError"]


class TroubleError(Exception):
    """Something did not work; its text is for people."""


class RefusedError(TroubleError):
    """Another try is no use."""


class QuotaError(RefusedError):
    """There is no room for it."""


class AwayError(TroubleError):
    """It may work later."""


class ExpiredError(AwayError):
    """The store no longer takes this URL."""
