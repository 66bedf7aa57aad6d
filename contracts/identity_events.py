"""Events of users, projects, tokens and key pairs. They hold no secrets, nor anything that opens a door."""

from __future__ import annotations

from typing import ClassVar

from .fact import Event
from .identity import TokenScopes
from .model import Timestamp
from .principals import Level, Role

__all__ = [
    "IDENTITY_EVENTS",
    "KeyCreated",
    "KeyDeleted",
    "MembershipEnded",
    "MembershipSet",
    "ProjectChanged",
    "ProjectCreated",
    "ProjectDeleted",
    "TokenMinted",
    "TokenRevoked",
    "UserChanged",
    "UserCreated",
    "UserDisabled",
    "UserEnabled",
]


class _UserEvent(Event):
    owner: str
    """The user it is about, who may see it. The envelope's actor says who did it."""
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the user's subject."""
        return self.owner


class UserCreated(_UserEvent):
    """Something was written down of a user for the first time."""

    name: ClassVar[str] = "user.created"

    display_name: str | None = None
    email: str | None = None
    roles: frozenset[Role] = frozenset()


class UserChanged(UserCreated):
    """What is known of a user is another thing now, or they have another password."""

    name: ClassVar[str] = "user.changed"

    revision: int
    password_changed: bool = False


class UserDisabled(_UserEvent):
    """A user is shut out, whatever they show."""

    name: ClassVar[str] = "user.disabled"

    reason: str = ""


class UserEnabled(_UserEvent):
    """A user may come in again."""

    name: ClassVar[str] = "user.enabled"


class _ProjectEvent(Event):
    project: str
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the project's name."""
        return self.project


class ProjectCreated(_ProjectEvent):
    """There is a new project."""

    name: ClassVar[str] = "project.created"

    title: str = ""


class ProjectChanged(_ProjectEvent):
    """A project has another title."""

    name: ClassVar[str] = "project.changed"

    title: str = ""
    revision: int


class ProjectDeleted(_ProjectEvent):
    """A project is gone, and with it all memberships that were given here."""

    name: ClassVar[str] = "project.deleted"


class _MembershipEvent(_UserEvent):
    project: str


class MembershipSet(_MembershipEvent):
    """A user is in a project, with these rights."""

    name: ClassVar[str] = "membership.set"

    level: Level


class MembershipEnded(_MembershipEvent):
    """A user is in a project no more, as far as this site decides it."""

    name: ClassVar[str] = "membership.ended"


class _TokenEvent(Event):
    owner: str
    token_id: str
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the token's identifier."""
        return self.token_id


class TokenMinted(_TokenEvent):
    """A token was made."""

    name: ClassVar[str] = "token.minted"

    token_name: str
    expires_at: Timestamp
    scopes: TokenScopes = TokenScopes()


class TokenRevoked(Event):
    """A block of a token is worth nothing any more, nor is what was made from it."""

    name: ClassVar[str] = "token.revoked"

    owner: str | None = None
    revocation_id: str
    token_id: str | None = None
    """Given for the first block of a token that is known here."""
    reason: str = ""
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the block's identifier."""
        return self.revocation_id


class _KeyEvent(Event):
    owner: str
    access_key: str
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the access key."""
        return self.access_key


class KeyCreated(_KeyEvent):
    """A key pair was made."""

    name: ClassVar[str] = "key.created"

    key_name: str


class KeyDeleted(_KeyEvent):
    """A key pair is worth nothing any more."""

    name: ClassVar[str] = "key.deleted"


IDENTITY_EVENTS: tuple[type[Event], ...] = (
    UserCreated,
    UserChanged,
    UserDisabled,
    UserEnabled,
    ProjectCreated,
    ProjectChanged,
    ProjectDeleted,
    MembershipSet,
    MembershipEnded,
    TokenMinted,
    TokenRevoked,
    KeyCreated,
    KeyDeleted,
)
"""Every event of identity."""
