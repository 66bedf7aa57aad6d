"""Settings of the gateway."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue, SecretStr, StringConstraints

from contracts.files import Sha256
from contracts.principals import Level, Role
from services.chassis.settings import ChassisSettings, Server

__all__ = ["DIALECT_NAMES", "GatewaySection", "GatewaySettings", "IdentitySettings", "StaticUser"]


DIALECT_NAMES = ("psik",)
"""Other systems' APIs that are spoken here, each below its name."""


class StaticUser(BaseModel):
    """Somebody whose token the site's operator wrote down, as a hash."""

    subject: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]*$", max_length=256)]
    token_sha256: Sha256
    projects: dict[str, Level] = {}
    roles: frozenset[Role] = frozenset()
    access_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")] | None = None
    secret_key: SecretStr | None = None
    """With *access_key*, a key pair of theirs."""


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
    body_wait: float = Field(default=30.0, gt=0, le=3600)
    """Seconds within which a body must have come; of a file, its next bytes."""
    identity: IdentitySettings = IdentitySettings()
    database_url: str | None = None
    """Where users, projects and tokens are kept; by default a SQLite file in the data folder."""
    dialects: dict[str, dict[str, JsonValue]] = {}
    """Settings of other systems' APIs that are spoken here, by their names; each reads its own."""


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
