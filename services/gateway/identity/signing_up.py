"""Users who make themselves: for development, where nobody else is there to do it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from contracts.envelope import Context
from contracts.errors import ConflictError, InvalidError
from contracts.identity import Member
from contracts.identity_events import MembershipSet, ProjectCreated, UserCreated
from contracts.model import now
from contracts.principals import Level
from services.chassis.unit import Work

from . import store
from .home import Identity

__all__ = ["is_name", "sign_up"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,253}")
"""Without a colon: what issuers and machines vouch for has one, and nobody is to call themselves that."""


def is_name(name: str) -> bool:
    """Say whether somebody may call themselves that."""
    return bool(_NAME.fullmatch(name))


async def sign_up(identity: Identity, context: Context, name: str, password: str, *, projects: Iterable[str]) -> None:
    """Make a user with a password who is a member of some projects, which are made too.

    Raises `ConflictError` where somebody has the name, be it in the settings, and `InvalidError` for what is no name.
    """
    if not is_name(name):
        raise InvalidError.of("username", "must be an address or a name of letters, digits and . _ @ + -")
    if identity.register.is_static(name):
        raise _taken()
    hashed = await identity.passwords.hash(password)
    async with identity.unit.begin(context) as work:
        at = now()
        email = name if "@" in name[1:-1] else None
        known = await store.find_user(work.connection, name)
        if known or not await store.change_user(work.connection, name, at, password_hash=hashed, email=email):
            raise _taken()
        work.send(UserCreated(owner=name, at=at, email=email))
        for project in projects:
            await _join(work, project, name)
    await identity.refresh()


async def _join(work: Work, project: str, name: str) -> None:
    at = now()
    if await store.find_project(work.connection, project) is None:
        await store.change_project(work.connection, project, at, "")
        work.send(ProjectCreated(project=project, at=at))
    await store.set_member(work.connection, Member(project=project, subject=name, level=Level.MEMBER, at=at))
    work.send(MembershipSet(owner=name, project=project, level=Level.MEMBER, at=at))


def _taken() -> ConflictError:
    return ConflictError("User already exists")
