"""Who works: whose machine asks, of what sort it is, and whether it may."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import ForbiddenError
from contracts.principals import Principal
from services.scheduler.settings import PullSettings

__all__ = ["Worker", "worker_of"]


@dataclass(frozen=True, slots=True)
class Worker:
    """One of somebody's machines."""

    name: str
    environment: str


def worker_of(principal: Principal, worker: str, settings: PullSettings) -> Worker:
    """Return who asks for work; raises `ForbiddenError` for whoever may not have any."""
    if not principal.is_admin and not set(settings.workers) & set(principal.projects):
        allowed = " or ".join(settings.workers) or "nobody but admins"
        raise ForbiddenError(f"work is given to members of {allowed}")
    found = (sort for project, sort in settings.environments.items() if project in principal.projects)
    return Worker(f"{principal.subject}/{worker}" if worker else principal.subject, next(found, settings.environment))
