"""Statements on the tables of users and projects. Those that write run inside a transaction of their caller's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.identity import Member, Project, User, UserWish
from contracts.mail import known_address
from contracts.principals import Level, Role
from services.chassis.unit import upsert_for
from services.gateway.tables import KEY_PAIRS, MEMBERSHIPS, PROJECTS, REVOCATIONS, USERS

from .register import Entry, Known, KnownKey

__all__ = [
    "change_project",
    "change_user",
    "columns_of",
    "delete_project",
    "end_membership",
    "find_member",
    "find_project",
    "find_user",
    "member_page",
    "password_of",
    "project_page",
    "read_known",
    "set_member",
    "user_page",
]


async def read_known(connection: AsyncConnection, at: datetime) -> Known:
    """Read what each request must know."""
    projects: dict[str, list[tuple[str, Level]]] = defaultdict(list)
    memberships = select(MEMBERSHIPS).order_by(MEMBERSHIPS.c.subject, MEMBERSHIPS.c.at, MEMBERSHIPS.c.project)
    for row in await connection.execute(memberships):
        projects[row.subject].append((row.project, Level(row.level)))
    columns = (USERS.c.subject, USERS.c.disabled, USERS.c.roles, USERS.c.revision, USERS.c.email)
    entries = {
        row.subject: Entry(
            row.disabled,
            _roles(row.roles),
            tuple(projects.pop(row.subject, ())),
            row.revision,
            known_address(row.email),
        )
        for row in await connection.execute(select(*columns))
    }
    entries |= {subject: Entry(projects=tuple(found)) for subject, found in projects.items()}
    in_force = or_(REVOCATIONS.c.expires_at.is_(None), REVOCATIONS.c.expires_at > at)
    revoked = select(REVOCATIONS.c.revocation_id, REVOCATIONS.c.expires_at).where(in_force)
    keys = select(KEY_PAIRS.c.access_key, KEY_PAIRS.c.owner, KEY_PAIRS.c.sealed, KEY_PAIRS.c.claims)
    return Known(
        entries=entries,
        revoked={row.revocation_id: row.expires_at for row in await connection.execute(revoked)},
        keys={row.access_key: KnownKey(row.owner, row.sealed, row.claims) for row in await connection.execute(keys)},
    )


def _roles(text: str) -> frozenset[Role]:
    return frozenset(Role(word) for word in text.split())


async def _users(connection: AsyncConnection, rows: Iterable[Row[Any]]) -> list[User]:
    found = list(rows)
    projects: dict[str, dict[str, Level]] = defaultdict(dict)
    theirs = select(MEMBERSHIPS).where(MEMBERSHIPS.c.subject.in_([row.subject for row in found]))
    for row in await connection.execute(theirs.order_by(MEMBERSHIPS.c.at, MEMBERSHIPS.c.project)):
        projects[row.subject][row.project] = Level(row.level)
    return [
        User(
            subject=row.subject,
            display_name=row.display_name,
            email=row.email,
            roles=_roles(row.roles),
            projects=projects[row.subject],
            disabled=row.disabled,
            disabled_reason=row.disabled_reason,
            has_password=row.password_hash is not None,
            revision=row.revision,
            created_at=row.created_at,
            changed_at=row.changed_at,
        )
        for row in found
    ]


async def find_user(connection: AsyncConnection, subject: str, *, to_change: bool = False) -> User | None:
    """Return what is written down of a user; *to_change*: which nobody else changes before this transaction ends."""
    statement = select(USERS).where(USERS.c.subject == subject)
    found = await connection.execute(statement.with_for_update() if to_change else statement)
    return next(iter(await _users(connection, found)), None)


async def user_page(connection: AsyncConnection, *, after: str, only: str | None, limit: int) -> list[User]:
    """Return users by subject, from behind *after* on."""
    statement = select(USERS).where(USERS.c.subject > after)
    if only is not None:
        statement = statement.where(USERS.c.subject == only)
    return await _users(connection, await connection.execute(statement.order_by(USERS.c.subject).limit(limit)))


async def password_of(connection: AsyncConnection, subject: str) -> str | None:
    """Return the hash of a user's password."""
    found = await connection.execute(select(USERS.c.password_hash).where(USERS.c.subject == subject))
    return found.scalar()


async def change_user(connection: AsyncConnection, subject: str, at: datetime, **values: object) -> bool:
    """Write something down of a user; says whether it is the first thing."""
    added = await connection.execute(
        upsert_for(connection)(USERS)
        .values({"subject": subject, "revision": 1, "created_at": at, "changed_at": at, **values})
        .on_conflict_do_nothing(index_elements=["subject"])
    )
    if added.rowcount:
        return True
    changed = update(USERS).where(USERS.c.subject == subject)
    await connection.execute(changed.values({"revision": USERS.c.revision + 1, "changed_at": at, **values}))
    return False


def columns_of(wish: UserWish) -> dict[str, object]:
    """Return a wish as columns."""
    roles = " ".join(sorted(role.value for role in wish.roles))
    return {"display_name": wish.display_name, "email": wish.email, "roles": roles}


# --- projects -------------------------------------------------------------------------------------------------


_COUNT = (
    select(func.count())
    .select_from(MEMBERSHIPS)
    .where(MEMBERSHIPS.c.project == PROJECTS.c.name)
    .scalar_subquery()
    .label("members")
)


def _project(row: Row[Any]) -> Project:
    return Project(
        name=row.name,
        title=row.title,
        members=row.members,
        revision=row.revision,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


async def find_project(connection: AsyncConnection, name: str, *, to_change: bool = False) -> Project | None:
    """Return a project; *to_change*: which nobody else changes before this transaction ends."""
    statement = select(PROJECTS, _COUNT).where(PROJECTS.c.name == name)
    row = (await connection.execute(statement.with_for_update(of=PROJECTS) if to_change else statement)).first()
    return _project(row) if row else None


async def project_page(
    connection: AsyncConnection, *, after: str, only: Iterable[str] | None, limit: int
) -> list[Project]:
    """Return projects by name, from behind *after* on."""
    statement = select(PROJECTS, _COUNT).where(PROJECTS.c.name > after)
    if only is not None:
        statement = statement.where(PROJECTS.c.name.in_(list(only)))
    return [_project(row) for row in await connection.execute(statement.order_by(PROJECTS.c.name).limit(limit))]


async def change_project(connection: AsyncConnection, name: str, at: datetime, title: str) -> bool:
    """Write a project down; says whether it is new."""
    added = await connection.execute(
        upsert_for(connection)(PROJECTS)
        .values({"name": name, "title": title, "revision": 1, "created_at": at, "changed_at": at})
        .on_conflict_do_nothing(index_elements=["name"])
    )
    if added.rowcount:
        return True
    changed = update(PROJECTS).where(PROJECTS.c.name == name)
    await connection.execute(changed.values(title=title, revision=PROJECTS.c.revision + 1, changed_at=at))
    return False


async def delete_project(connection: AsyncConnection, name: str) -> bool:
    """Forget a project and who was in it; says whether there was one."""
    await connection.execute(delete(MEMBERSHIPS).where(MEMBERSHIPS.c.project == name))
    return bool((await connection.execute(delete(PROJECTS).where(PROJECTS.c.name == name))).rowcount)


async def member_page(connection: AsyncConnection, project: str, *, after: str, limit: int) -> list[Member]:
    """Return members by subject, from behind *after* on."""
    statement = select(MEMBERSHIPS).where(MEMBERSHIPS.c.project == project, MEMBERSHIPS.c.subject > after)
    rows = await connection.execute(statement.order_by(MEMBERSHIPS.c.subject).limit(limit))
    return [_member(row) for row in rows]


def _member(row: Row[Any]) -> Member:
    return Member(project=row.project, subject=row.subject, level=Level(row.level), at=row.at)


async def find_member(connection: AsyncConnection, project: str, subject: str) -> Member | None:
    """Return somebody in a project."""
    row = (await connection.execute(select(MEMBERSHIPS).where(_is(project, subject)))).first()
    return _member(row) if row else None


def _is(project: str, subject: str) -> Any:
    return and_(MEMBERSHIPS.c.project == project, MEMBERSHIPS.c.subject == subject)


async def set_member(connection: AsyncConnection, member: Member) -> bool:
    """Let somebody be in a project; says whether that is a change."""
    known = await find_member(connection, member.project, member.subject)
    if known and known.level is member.level:
        return False
    level = {"level": member.level.value, "at": member.at}
    await connection.execute(
        upsert_for(connection)(MEMBERSHIPS)
        .values({**member.model_dump(), **level})
        .on_conflict_do_update(index_elements=["project", "subject"], set_=level)
    )
    return True


async def end_membership(connection: AsyncConnection, project: str, subject: str) -> bool:
    """Take somebody out of a project; says whether they were in it."""
    return bool((await connection.execute(delete(MEMBERSHIPS).where(_is(project, subject)))).rowcount)
