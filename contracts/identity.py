"""Users, projects, tokens and key pairs, as they are shown and wished for."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from .model import Model, Timestamp
from .principals import Level, Role
from .resources import Span
from .spec import ProjectName
from .words import plain_line

__all__ = [
    "DisableWish",
    "Inspection",
    "InspectionWish",
    "KeyPairPage",
    "KeyPairRecord",
    "KeyPairWish",
    "LoginWish",
    "MadeKeyPair",
    "Member",
    "MemberPage",
    "MemberWish",
    "MintedToken",
    "PasswordWish",
    "Project",
    "ProjectPage",
    "ProjectWish",
    "Revocation",
    "RevocationWish",
    "RootKey",
    "RootKeys",
    "Subject",
    "TokenBlock",
    "TokenId",
    "TokenPage",
    "TokenRecord",
    "TokenScopes",
    "TokenWish",
    "User",
    "UserPage",
    "UserWish",
]

Subject = Annotated[str, StringConstraints(max_length=256, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]*$")]
"""A user's identifier."""

TokenId = Annotated[str, StringConstraints(pattern=r"^tok-[0-9a-f]{32}$")]
"""`tok-` and the first 32 digits of the revocation id of a token's first block."""

RevocationId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64,256}$")]
"""Names one block of a token; to revoke it revokes whatever was made from it."""

TokenText = Annotated[SecretStr, Field(min_length=1, max_length=32_768)]

_Line = Annotated[str, StringConstraints(max_length=256)]


class UserWish(Model):
    """What is to be known of a user."""

    display_name: _Line | None = None
    email: Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    roles: frozenset[Role] = frozenset()
    """What they may do on the whole site, beside what their way in says."""

    _plain = field_validator("display_name", "email")(lambda value: value if value is None else plain_line(value))


class User(Model):
    """Somebody of whom the site has written something down."""

    subject: str
    display_name: str | None = None
    email: str | None = None
    roles: frozenset[Role] = frozenset()
    projects: dict[str, Level] = {}
    """Those that were given to them here; their way in may say more."""
    disabled: bool = False
    disabled_reason: str = ""
    has_password: bool = False
    revision: int = 1
    created_at: Timestamp
    changed_at: Timestamp


class UserPage(Model):
    """Some users, by subject."""

    items: list[User]
    next_cursor: str | None = None


class DisableWish(Model):
    """Why somebody is shut out."""

    reason: Annotated[str, StringConstraints(max_length=1024)] = ""


class PasswordWish(Model):
    """A new password; whoever changes their own shows the present one."""

    password: Annotated[SecretStr, Field(min_length=12, max_length=1024)]
    current: Annotated[SecretStr, Field(max_length=1024)] | None = None


class ProjectWish(Model):
    """What is to be known of a project."""

    title: _Line = ""

    _plain = field_validator("title")(plain_line)


class Project(Model):
    """A project (VO) that was made here."""

    name: ProjectName
    title: str = ""
    members: int = 0
    revision: int = 1
    created_at: Timestamp
    changed_at: Timestamp


class ProjectPage(Model):
    """Some projects, by name."""

    items: list[Project]
    next_cursor: str | None = None


class MemberWish(Model):
    """What a member may do."""

    level: Level = Level.MEMBER


class Member(Model):
    """Somebody in a project."""

    project: str
    subject: str
    level: Level
    at: Timestamp


class MemberPage(Model):
    """Some members, by subject."""

    items: list[Member]
    next_cursor: str | None = None


class TokenScopes(Model):
    """What a token may be used for; what is left out is not limited, but for roles."""

    read_only: bool = False
    """Only GET and HEAD."""
    jobs: list[Annotated[str, StringConstraints(pattern=r"^[a-z]{3}-[0-9a-f]{32}$")]] = Field(default=[], max_length=64)
    """Only requests for these jobs (batches, schedules) by their id: no lists, and no new ones."""
    projects: list[ProjectName] = Field(default=[], max_length=64)
    """Acts for these of the owner's projects only: bills them, and has no rights by others."""
    paths: list[Annotated[str, StringConstraints(max_length=512, pattern=r"^/[!-~]*$")]] = Field(
        default=[], max_length=64, examples=[["/v1/files/shared/"]]
    )
    """Only these paths; one that ends with `/` stands for all below it."""
    max_gpus: int | None = Field(default=None, ge=0, le=1_000_000)
    """At most so many GPUs in one request, all tasks that may run at once together."""
    addresses: list[Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9A-Fa-f:.]+$")]] = Field(
        default=[], max_length=64
    )
    """Only from these addresses."""
    roles: frozenset[Role] = frozenset()
    """What it may do on the whole site, of what its owner may: nothing unless said."""


class TokenWish(Model):
    """A token to be minted."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(default="token", examples=["nightly"])
    lifetime: Annotated[Span, Field(gt=timedelta(0), le=timedelta(days=366))] = timedelta(days=30)
    scopes: TokenScopes = TokenScopes()

    _plain = field_validator("name")(plain_line)


class TokenRecord(Model):
    """A token that was minted; the token itself is shown once."""

    id: TokenId
    name: str
    owner: str
    scopes: TokenScopes = TokenScopes()
    created_at: Timestamp
    expires_at: Timestamp
    revoked_at: Timestamp | None = None
    revocation_id: str
    """Of its first block: revoked, it takes all with it that was made from it."""
    key_id: int
    """The root key that signed it."""


class MintedToken(TokenRecord):
    """The same, and the token."""

    token: str


class TokenPage(Model):
    """Some tokens, newest first."""

    items: list[TokenRecord]
    next_cursor: str | None = None


class RootKey(Model):
    """A key by which anybody can check the site's tokens, and narrow their own."""

    id: int
    algorithm: str = "ed25519"
    public_key: str
    """Hexadecimal."""


class RootKeys(Model):
    """All keys whose tokens are taken; the first one signs new ones."""

    keys: list[RootKey]


class InspectionWish(Model):
    """A token to be looked into."""

    token: TokenText


class TokenBlock(Model):
    """What one block of a token says."""

    source: str
    """Datalog."""
    revocation_id: str
    revoked: bool = False


class Inspection(Model):
    """What a token is."""

    valid: bool
    reason: str = ""
    """Why it is not."""
    id: str | None = None
    owner: str | None = None
    expires_at: Timestamp | None = None
    blocks: list[TokenBlock] = []


class RevocationWish(Model):
    """What is to be revoked: the last block of a token that is shown, or a block by its id."""

    token: TokenText | None = None
    revocation_id: RevocationId | None = None
    reason: Annotated[str, StringConstraints(max_length=1024)] = ""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.token is None) == (self.revocation_id is None):
            raise ValueError("give either token or revocation_id")
        return self


class Revocation(Model):
    """A block that is worth nothing any more."""

    revocation_id: str
    owner: str | None = None
    at: Timestamp
    reason: str = ""


class LoginWish(Model):
    """A name and a password, for a token."""

    username: Subject
    password: Annotated[SecretStr, Field(min_length=1, max_length=1024)]


class KeyPairWish(Model):
    """A key pair to be made."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(default="key", examples=["laptop"])

    _plain = field_validator("name")(plain_line)


class KeyPairRecord(Model):
    """A key pair; its secret is shown once."""

    access_key: str
    name: str
    owner: str
    created_at: Timestamp


class MadeKeyPair(KeyPairRecord):
    """The same, and the secret."""

    secret_key: str


class KeyPairPage(Model):
    """Some key pairs, oldest first."""

    items: list[KeyPairRecord]
    next_cursor: str | None = None
