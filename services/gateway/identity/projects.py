"""Projects and who is in them, for whoever may see or change that."""

from __future__ import annotations

from contracts.errors import ConflictError, ForbiddenError, NotFoundError
from contracts.identity import Member, MemberPage, Project, ProjectPage, ProjectWish
from contracts.identity_events import (
    MembershipEnded,
    MembershipSet,
    ProjectChanged,
    ProjectCreated,
    ProjectDeleted,
)
from contracts.model import now
from contracts.principals import Level
from services.chassis.policy import require_operator, sees_all
from services.gateway.callers import Caller

from . import store
from .cursors import read_cursor, write_cursor
from .home import Identity

__all__ = ["ProjectService"]


class ProjectService:
    """Shows and changes projects for one caller: admins of the site any, admins of a project who is in it."""

    def __init__(self, identity: Identity, caller: Caller) -> None:
        self._identity = identity
        self._caller = caller

    async def page(self, *, limit: int, cursor: str | None) -> ProjectPage:
        """Return some projects, by name."""
        principal = self._caller.principal
        only = None if sees_all(principal) else principal.projects
        after = read_cursor("projects", cursor)
        async with self._identity.unit.reading() as connection:
            found = await store.project_page(connection, after=after, only=only, limit=limit + 1)
        more = len(found) > limit
        return ProjectPage(
            items=found[:limit], next_cursor=write_cursor("projects", found[limit - 1].name) if more else None
        )

    async def get(self, name: str) -> Project:
        """Return a project."""
        if name not in self._caller.principal.projects and not sees_all(self._caller.principal):
            raise _unknown(name)
        async with self._identity.unit.looking_up() as connection:
            found = await store.find_project(connection, name)
        if found is None:
            raise _unknown(name)
        return found

    async def put(self, name: str, wish: ProjectWish, revision: int | None) -> tuple[Project, bool]:
        """Make a project or change it, if it is still at *revision*; says whether it is new."""
        require_operator(self._caller.principal)
        async with self._identity.unit.begin(self._caller.context) as work:
            known = await store.find_project(work.connection, name, to_change=True)
            if revision is not None and (known is None or known.revision != revision):
                raise ConflictError(f"the project is not at revision {revision} any more")
            at = now()
            created = await store.change_project(work.connection, name, at, wish.title)
            if created:
                work.send(ProjectCreated(project=name, title=wish.title, at=at))
            else:
                number = known.revision + 1 if known else 1
                work.send(ProjectChanged(project=name, title=wish.title, revision=number, at=at))
            found = await store.find_project(work.connection, name)
        if found is None:
            raise _unknown(name)
        return found, created

    async def delete(self, name: str) -> None:
        """Forget a project and who was in it; what was billed to it stays billed."""
        require_operator(self._caller.principal)
        async with self._identity.unit.begin(self._caller.context) as work:
            if not await store.delete_project(work.connection, name):
                raise _unknown(name)
            work.send(ProjectDeleted(project=name, at=now()))
        await self._identity.refresh()

    async def members(self, name: str, *, limit: int, cursor: str | None) -> MemberPage:
        """Return some members of a project, by subject."""
        await self._require_administered(name, to_change=False)
        after = read_cursor("members", cursor)
        async with self._identity.unit.reading() as connection:
            found = await store.member_page(connection, name, after=after, limit=limit + 1)
        more = len(found) > limit
        return MemberPage(
            items=found[:limit], next_cursor=write_cursor("members", found[limit - 1].subject) if more else None
        )

    async def set_member(self, name: str, subject: str, level: Level) -> Member:
        """Let somebody be in a project, with these rights."""
        await self._require_administered(name)
        member = Member(project=name, subject=subject, level=level, at=now())
        async with self._identity.unit.begin(self._caller.context) as work:
            if await store.set_member(work.connection, member):
                work.send(MembershipSet(owner=subject, project=name, level=level, at=member.at))
            found = await store.find_member(work.connection, name, subject)
        await self._identity.refresh()
        return found or member

    async def end_membership(self, name: str, subject: str) -> None:
        """Take somebody out of a project, as far as it was this site that put them in."""
        await self._require_administered(name)
        async with self._identity.unit.begin(self._caller.context) as work:
            if not await store.end_membership(work.connection, name, subject):
                raise NotFoundError(f"{subject} is not in {name}, or not by what was written down here")
            work.send(MembershipEnded(owner=subject, project=name, at=now()))
        await self._identity.refresh()

    async def _require_administered(self, name: str, *, to_change: bool = True) -> None:
        """Refuse whoever does not administer a project that is here."""
        await self.get(name)
        principal = self._caller.principal
        administers = principal.is_admin or principal.projects.get(name) is Level.ADMIN
        if not administers and (to_change or not sees_all(principal)):
            raise ForbiddenError(f"this is for admins of {name}")


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there is no project {name}")
