"""The one place where rights are decided: owner, project admin, site admin."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import ForbiddenError, InvalidError, NotFoundError
from contracts.principals import Level, Principal, Role

__all__ = [
    "Scope",
    "bill_to",
    "is_visible",
    "owner_or_self",
    "require_operator",
    "require_visible",
    "scope_of",
    "sees_all",
]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a principal may see in a list: everything, or their own and what belongs to these projects."""

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


def is_visible(scope: Scope, owner: str | None, project: str | None) -> bool:
    """Say whether a thing is in *scope*; what belongs to nobody is for those who see everything."""
    return scope.everything or (owner is not None and (owner == scope.owner or project in scope.projects))


def require_visible(
    principal: Principal, owner: str, project: str | None, what: str, *, to_change: bool = False
) -> None:
    """Refuse what is not theirs; what one may not see does not exist."""
    if not is_visible(scope_of(principal), owner, project):
        raise NotFoundError(f"{what} does not exist")
    changes = owner == principal.subject or principal.is_admin or project in scope_of(principal).projects
    if to_change and not changes:
        raise ForbiddenError(f"{what} may be read but not changed by an auditor")


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
