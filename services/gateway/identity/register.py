"""What each request must know of users, in memory: who is shut out, what was given to whom, what was revoked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from contracts.errors import UnauthenticatedError
from contracts.principals import Level, Principal, Role
from services.gateway.auth.passport import Passport

__all__ = ["OURS", "STATIC", "Entry", "Known", "KnownKey", "Register"]

STATIC = "static"
"""The issuer of users that the settings name."""

OURS = "shunter"
"""The issuer of users that only this database knows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the site has written down of a user, as far as it changes what they may."""

    disabled: bool = False
    roles: frozenset[Role] = frozenset()
    projects: tuple[tuple[str, Level], ...] = ()
    revision: int = 0
    """Grows with each change of the row, a new password included."""
    email: str | None = None
    """Where mail to them goes, if mail can be sent there."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key pair; its secret is still sealed."""

    owner: str
    sealed: str
    claims: str


@dataclass(frozen=True, slots=True)
class Known:
    """All of it, as it was read at one moment."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    revoked: Mapping[str, datetime | None] = field(default_factory=dict)
    """Revocation ids, and when what they name would be over anyway."""
    keys: Mapping[str, KnownKey] = field(default_factory=dict)


_NOBODY = Entry()


class Register:
    """Knows users as of the last look, and tells those who wait when that changes."""

    def __init__(self, static: Iterable[Principal] = ()) -> None:
        self.known = Known()
        self._static = {principal.subject: principal for principal in static}
        self._watching: set[Callable[[], None]] = set()

    def take(self, known: Known) -> None:
        """Know this from now on."""
        if known != self.known:
            self.known = known
            for look in list(self._watching):
                look()

    @property
    def size(self) -> int:
        """Return how much is known."""
        return len(self.known.entries) + len(self.known.revoked) + len(self.known.keys)

    def entry(self, subject: str) -> Entry:
        """Return what is written down of a user."""
        return self.known.entries.get(subject, _NOBODY)

    def is_revoked(self, ids: Iterable[str]) -> bool:
        """Say whether any of these was revoked."""
        revoked = self.known.revoked
        return bool(revoked) and any(one in revoked for one in ids)

    def admit(self, passport: Passport) -> Passport:
        """Let somebody in with all that was given to them here, or refuse who is shut out."""
        entry = self.known.entries.get(passport.principal.subject)
        if entry is None:
            return passport
        if entry.disabled:
            raise UnauthenticatedError("this user is disabled")
        principal = passport.principal
        given = _with(principal, entry)
        return passport if given is principal else replace(passport, principal=given, claimed=principal)

    def renewed(self, claimed: Principal) -> Principal:
        """Return somebody whom an older credential names, as their way in would say it now.

        What the settings or this database say is looked up again; what others said is as it was then.
        """
        if claimed.issuer != STATIC:
            return claimed
        found = self._static.get(claimed.subject)
        if found is None:
            raise UnauthenticatedError("this user is known here no more")
        return found

    def is_static(self, subject: str) -> bool:
        """Say whether the settings name somebody."""
        return subject in self._static

    def named(self, subject: str) -> Principal:
        """Return somebody whom this site itself vouches for, by a password."""
        return self._static.get(subject) or Principal(subject=subject, issuer=OURS)

    @contextmanager
    def watching(self, look: Callable[[], None]) -> Iterator[None]:
        """Call *look* at each change while the block runs."""
        self._watching.add(look)
        try:
            yield
        finally:
            self._watching.discard(look)


def _with(principal: Principal, entry: Entry) -> Principal:
    projects = dict(principal.projects)
    for name, level in entry.projects:
        if projects.get(name) is not Level.ADMIN:
            projects[name] = level
    roles = principal.roles | entry.roles
    email = entry.email or principal.email
    if projects == principal.projects and roles == principal.roles and email == principal.email:
        return principal
    return principal.model_copy(update={"projects": projects, "roles": roles, "email": email})
