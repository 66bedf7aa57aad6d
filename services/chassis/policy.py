"""The one place where rights are decided: owner, project admin, site admin, and whom something was granted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from contracts.errors import ForbiddenError, InvalidError, NotFoundError
from contracts.grants import Right
from contracts.principals import Level, Principal, Role

__all__ = [
    "Power",
    "Scope",
    "bill_to",
    "grantees_of",
    "is_visible",
    "longest_url",
    "owner_or_self",
    "power_by",
    "power_over",
    "require_operator",
    "require_power",
    "require_visible",
    "scope_of",
    "sees_all",
]


class Power(IntEnum):
    """What somebody may do with a thing; each includes those before it."""

    NONE = 0
    READ = 1
    CONTROL = 2
    """Steer a job, write into a folder."""
    OWN = 3
    """Share it, delete it."""


_LONGEST_LENT = 900.0
"""Seconds that a URL of another one's file is good for: nobody can take it back."""

_POWERS = {Right.READ: Power.READ, Right.CONTROL: Power.CONTROL}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a principal may see in a list: everything, or their own and what belongs to these projects.

    What was granted comes to it: whoever keeps the things keeps the grants.
    """

    everything: bool
    owner: str
    projects: frozenset[str]


def sees_all(principal: Principal) -> bool:
    """Say whether *principal* may read everybody's things."""
    return bool(principal.roles & {Role.ADMIN, Role.AUDITOR})


def scope_of(principal: Principal) -> Scope:
    """Return what *principal* may see."""
    administered = frozenset(name for name, level in principal.projects.items() if level is Level.ADMIN)
    return Scope(sees_all(principal), principal.subject, administered)


def grantees_of(principal: Principal) -> list[str]:
    """Return the words by which something may have been granted to *principal*: themselves, projects, their token."""
    words = [f"user:{principal.subject}", *(f"project:{name}" for name in principal.projects)]
    return [*words, f"token:{principal.token}"] if principal.token else words


def is_visible(scope: Scope, owner: str | None, project: str | None) -> bool:
    """Say whether a thing is in *scope*; what belongs to nobody is for those who see everything."""
    return scope.everything or (owner is not None and (owner == scope.owner or project in scope.projects))


def power_over(principal: Principal, owner: str, project: str | None) -> Power:
    """Return what *principal* may do with a thing without any grant."""
    scope = scope_of(principal)
    if owner == principal.subject or principal.is_admin or project in scope.projects:
        return Power.OWN
    return Power.READ if scope.everything else Power.NONE


def power_by(rights: Iterable[Right]) -> Power:
    """Return what grants allow."""
    return max((_POWERS[right] for right in rights), default=Power.NONE)


def require_power(power: Power, needed: Power, what: str) -> None:
    """Refuse what goes beyond *power*; what one may not see does not exist."""
    if power is Power.NONE:
        raise NotFoundError(f"{what} does not exist")
    if power < needed:
        raise ForbiddenError(f"{what} may be {_MAY[power]} by you, but not {_MAY_NOT[needed]}")


_MAY = {Power.READ: "read", Power.CONTROL: "controlled"}
_MAY_NOT = {Power.CONTROL: "changed", Power.OWN: "shared or deleted"}


def require_visible(
    principal: Principal, owner: str, project: str | None, what: str, *, to_change: bool = False
) -> None:
    """Refuse what is not theirs, where nothing can be granted; what one may not see does not exist."""
    require_power(power_over(principal, owner, project), Power.CONTROL if to_change else Power.READ, what)


def longest_url(principal: Principal, owner: str, wanted: float) -> float:
    """Return how many seconds a URL of a file of *owner*'s may be good for."""
    return wanted if power_over(principal, owner, None) is Power.OWN else min(wanted, _LONGEST_LENT)


def require_operator(principal: Principal) -> None:
    """Refuse whoever does not steer the whole site."""
    if not principal.is_admin:
        raise ForbiddenError("this is for admins of the site")


def owner_or_self(principal: Principal, owner: str | None, what: str = "the user's files") -> str:
    """Return whose things are meant: the principal's, or *owner*'s where that is allowed."""
    if owner is None or owner == principal.subject:
        return principal.subject
    require_visible(principal, owner, None, what)
    return owner


def bill_to(principal: Principal, project: str | None) -> str | None:
    """Return the project that pays, or refuse one that the principal is not in."""
    if project is None:
        return principal.default_project
    if project not in principal.projects and not principal.is_admin:
        raise InvalidError.of("project", f"you are not a member of {project!r}; you are in: {_listed(principal)}")
    return project


def _listed(principal: Principal) -> str:
    return ", ".join(principal.projects) or "no project"
