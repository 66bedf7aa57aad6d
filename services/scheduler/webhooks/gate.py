"""What speaks against a callback or a subscription: said when it is asked for, and not when the first event is due."""

from __future__ import annotations

from contracts.errors import InvalidError
from contracts.hooks import Callback, is_sealed
from contracts.subscriptions import SubscriptionSpec

from .formats import require_format
from .targets import Targets

__all__ = ["HookGate"]


class HookGate:
    """Lets targets through that the site allows."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def require(self, wish: Callback | SubscriptionSpec, place: str = "") -> None:
        """Refuse what could never be sent; *place* is where the wish stands in what was asked."""
        self._targets.require(wish.url, f"{place}url")
        require_format(wish.format, f"{place}format")
        if isinstance(wish, Callback) and wish.secret_of is not None:
            raise InvalidError.of(f"{place}secret_of", "is for a job that is submitted by itself")
        if wish.secret is not None and not is_sealed(wish.secret):
            raise InvalidError.of(f"{place}secret", "did not come sealed; only the gateway takes secrets from users")
