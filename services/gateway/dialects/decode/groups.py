"""Groups of users as decode knows them: projects of ours."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from contracts.principals import Principal

__all__ = ["Group", "groups_of"]


class Group(StrEnum):
    """What somebody is there for."""

    USERS = "users"
    WORKERS = "workers"
    CLOUD = "cloud"


def groups_of(principal: Principal, projects: Mapping[Group, str]) -> list[Group]:
    """Return the groups that somebody is in; the site's admins are in all."""
    return [
        group for group in Group if principal.is_admin or (group in projects and projects[group] in principal.projects)
    ]
