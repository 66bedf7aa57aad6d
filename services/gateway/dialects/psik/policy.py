"""A site's own policy: asked after ours, so that it can only take away."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

from services.gateway.auth.passport import Facts, Passport

__all__ = ["GROUP", "Authz", "load_authz"]

GROUP = "shunter.psik.authz"
"""The entry points under which a package may offer policies."""

_OURS = frozenset({"", "local"})
"""`local` is how psik_api says that only this machine may ask: whether it may is for the ways in to decide."""


class Authz(Protocol):
    """What a policy is: a class that is made once, without arguments."""

    async def require(self, passport: Passport, facts: Facts) -> None:
        """Raise `ForbiddenError` for a request that the site does not allow, whatever else would."""


class _NoMore:
    async def require(self, passport: Passport, facts: Facts) -> None:
        """Allow what is allowed already."""


def load_authz(name: str | None) -> Authz:
    """Return the policy of this name; raises if it cannot be had, so that no site runs without it."""
    if name is None or name in _OURS:
        return _NoMore()
    made = _find(name)()
    if not callable(getattr(made, "require", None)):
        raise TypeError(f"psik.authz: {name} has no method `require(passport, facts)`")
    policy: Authz = made
    return policy


def _find(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    try:
        if colon:
            return getattr(import_module(module), attribute)
        found = entry_points(group=GROUP)
        return found[name].load()
    except (ImportError, AttributeError, KeyError) as error:
        raise ValueError(f"psik.authz: there is no {name!r}: {error}") from error
