"""Settings of the gateway."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    Field,
    JsonValue,
    SecretStr,
    StringConstraints,
    field_validator,
)

from contracts.files import Sha256
from contracts.mail import MailAddress
from contracts.principals import Level, Role
from services.chassis.settings import ChassisSettings, Server

from .auth.oidc.settings import IssuerSettings, check_issuers
from .guard.settings import GuardSettings

__all__ = [
    "DIALECT_NAMES",
    "CertificateSettings",
    "CorsSettings",
    "GatewaySection",
    "GatewaySettings",
    "IdentitySettings",
    "StaticUser",
]

DIALECT_NAMES = ("psik", "decode", "decode_worker")
"""Other systems' APIs that are spoken here, each below its name."""


class StaticUser(BaseModel):
    """Somebody whose token the site's operator wrote down, as a hash."""

    subject: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]*$", max_length=256)]
    token_sha256: Sha256 | None = None
    """None for somebody who comes in by another way, such as a certificate."""
    projects: dict[str, Level] = {}
    roles: frozenset[Role] = frozenset()
    email: MailAddress | None = None
    access_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")] | None = None
    secret_key: SecretStr | None = None
    """With *access_key*, a key pair of theirs."""


class CertificateSettings(BaseModel):
    """What a client's certificate says of its user; the authorities are `listen.tls.client_ca`."""

    user: Literal["uid", "cn", "email"] = "cn"
    """Where the name stands: in the subject, or among its alternative names, which must hold one address."""
    match: str = "(?P<user>.+)"
    """What the whole of it must be like; the group `user` is the name here."""
    prefix: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*:)?$")
    """Stands before each name."""
    listed_only: bool = False
    """Whether only those come in who are among `users`."""

    @field_validator("match")
    @classmethod
    def _check_match(cls, value: str) -> str:
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if set(groups) != {"user"}:
            raise ValueError("must have one group of a name, `user`")
        return value


class IdentitySettings(BaseModel):
    """Who may come in, and how."""

    local: bool = True
    """Whether a request from this very machine that names nobody is the site's admin."""
    users: list[StaticUser] = []
    root_keys: list[SecretStr] = []
    """Ed25519 keys that sign tokens, each `<number>:<64 hexadecimal digits>`; the highest number signs, all are taken.
    Without any, one is made and kept in `<data>/gateway/keys.json`."""
    sealing_keys: list[SecretStr] = []
    """What seals the secrets of key pairs: the first seals, all open. Kept in the same file if none is given."""
    login_lifetime: timedelta = Field(default=timedelta(hours=12), gt=timedelta(0))
    """How long the token lives that a login gives."""
    replay_window: float = Field(default=300.0, gt=0, le=3600)
    """Seconds by which the date of a signed request may differ from ours."""
    refresh: float = Field(default=15.0, gt=0, le=3600)
    """Seconds after which what is known of users is read again, whether or not anything was heard."""
    issuers: Annotated[list[IssuerSettings], AfterValidator(check_issuers)] = []
    """OpenID Connect: whose tokens are taken."""
    certificates: CertificateSettings | None = None
    """Whether clients' certificates name users, and how."""


class CorsSettings(BaseModel):
    """Which web pages of elsewhere may ask, with a token of their user; nobody's cookies or certificates come along."""

    origins: list[Annotated[str, StringConstraints(pattern=r"^(\*|https?://[A-Za-z0-9.:\[\]-]+)$")]] = []
    """Such as `https://portal.example.org`; `*` is any page."""
    max_age: int = Field(default=600, ge=0, le=86400)
    """Seconds for which a browser remembers the answer."""


class GatewaySection(BaseModel):
    """What only the gateway reads."""

    listen: Server = Server(port=8800)
    submit_wait: float = Field(default=5.0, ge=0, le=60)
    """Seconds that a command's answer is awaited before 202 is said."""
    temporal_ui: str | None = None
    """Where operators look at workflows; jobs link there."""
    temporal_namespace: str = "shunter"
    max_body: int = Field(default=12 * 2**20, ge=0)
    """Bytes of a request's body; uploads of files have no such limit."""
    most_spooled: ByteSize = ByteSize(4 * 2**30)
    """Bytes of a file that lie on the gateway's disk first, because nobody said before how many they are."""
    body_wait: float = Field(default=30.0, gt=0, le=3600)
    """Seconds within which a body must have come; of a file, its next bytes."""
    identity: IdentitySettings = IdentitySettings()
    database_url: str | None = None
    """Where users, projects and tokens are kept; by default a SQLite file in the data folder."""
    dialects: dict[str, dict[str, JsonValue]] = {}
    """Settings of other systems' APIs that are spoken here, by their names; each reads its own."""
    limits: GuardSettings = GuardSettings()
    cors: CorsSettings = CorsSettings()


class GatewaySettings(ChassisSettings):
    """The common settings and the section `gateway`."""

    farewell: float = Field(default=1.0, ge=0, le=60)
    """Seconds that a stopping gateway still answers, each answer with `Connection: close`."""
    gateway: GatewaySection = GatewaySection()

    @property
    def database_url(self) -> str:
        """Return where users, projects and tokens are kept."""
        default = f"sqlite+aiosqlite:///{self.data.absolute() / 'db' / 'gateway.db'}"
        return self.gateway.database_url or default
