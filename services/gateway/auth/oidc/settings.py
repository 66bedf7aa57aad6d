"""Which issuers of tokens a site trusts, and what their claims mean here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from contracts.principals import Level, Role

__all__ = ["ClaimRule", "ClaimSettings", "IssuerSettings", "check_issuers", "is_loopback_url"]

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""Signatures with a key pair only: with a shared secret whoever knows the public key could sign."""

_GROUPS = frozenset({"project", "level", "role"})


def is_loopback_url(url: str) -> bool:
    """Say whether a URL leads to this very machine, by a name that cannot be made to lead elsewhere."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _issuer_url(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be a URL without a query, a fragment or a user")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback_url(url)):
        raise ValueError("must begin with https:// (http:// only on loopback)")
    return url


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClaimRule(_Part):
    """Values of one claim, and what whoever has them may do.

    `match` must fit a whole value; its named groups `project`, `level` and `role` say what it gives.
    """

    claim: str | list[str]
    """The claim's name; names of inner ones joined by dots, or given as a list where they hold dots."""
    match: str = Field(max_length=1024)
    level: Level = Level.MEMBER
    """In the project, where the value does not say one."""
    levels: dict[str, Level] = {"member": Level.MEMBER, "admin": Level.ADMIN}
    """What the word of the group `level` means; a value with another word gives nothing."""
    role: Role | None = None
    """On the whole site, for everybody who has a fitting value."""
    roles: dict[str, Role] = {}
    """What the word of the group `role` means; a value with another word gives nothing."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            groups = set(re.compile(self.match).groupindex)
        except re.error as error:
            raise ValueError(f"match: is no regular expression: {error}") from None
        if unknown := groups - _GROUPS:
            raise ValueError(f"match: has groups of unknown names: {', '.join(sorted(unknown))}")
        if not groups & {"project", "role"} and self.role is None:
            raise ValueError("match: has neither a group `project` nor `role`, and no `role` is given")
        return self


_PLAIN = r"(?P<project>[^:/]+)(?::(?P<level>[^:/]+))?"
_EGI = r"urn:mace:egi\.eu:group:(?P<project>[^:#]+)"

_PRESETS: dict[str, tuple[ClaimRule, ...]] = {
    "egi": (
        ClaimRule(
            claim="eduperson_entitlement",
            match=_EGI + r":role=(?P<level>[^:#]+)#aai\.egi\.eu",
            levels={"member": Level.MEMBER, "vm_operator": Level.MEMBER, "admin": Level.ADMIN},
        ),
        # Who leads a group inside a VO does not lead the VO.
        ClaimRule(claim="eduperson_entitlement", match=_EGI + r":[^#]+:role=[^:#]+#aai\.egi\.eu"),
    ),
    "keycloak": (
        ClaimRule(claim="realm_access.roles", match=r"access:(?P<project>[^:]+):(?P<level>[^:]+)"),
        ClaimRule(claim="realm_access.roles", match=r"access:(?P<project>[^:]+)"),
    ),
    "cognito": (ClaimRule(claim=["cognito:groups"], match=_PLAIN),),
    "groups": (ClaimRule(claim=["groups"], match=_PLAIN),),
}

Preset = Literal["egi", "keycloak", "cognito", "groups"]


class ClaimSettings(_Part):
    """What the claims of an issuer's tokens mean here."""

    subject: str | list[str] = "sub"
    """The claim that names the user. `sub` never changes; `preferred_username` and `email` may pass to others."""
    prefix: str | None = Field(default=None, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*:)?$")
    """Stands before each user's name; by default the issuer's name and a colon. Empty for one issuer at most."""
    email: str | list[str] | None = "email"
    """The claim with the user's address, where mail about their jobs goes. One that `email_verified` says nobody has
    checked is passed over; none takes no address from this issuer."""
    rules: list[Preset | ClaimRule] = []
    """Where projects and roles come from; the names of presets stand for rules that are written down here."""
    members_only: bool = False
    """Whether users to whom no rule gives anything are refused."""

    def to_rules(self) -> Sequence[ClaimRule]:
        """Return all rules, those of presets written out."""
        return [rule for item in self.rules for rule in (_PRESETS[item] if isinstance(item, str) else (item,))]


class LoginSettings(_Part):
    """How the command line asks this issuer for a token (RFC 8628)."""

    client_id: str
    scope: str = "openid profile email offline_access"
    resource: str | None = None
    """What the token is for (RFC 8707), where the issuer wants to be told."""
    audience: str | None = None
    """The same for issuers that want it in a parameter of this name."""


class IssuerSettings(_Part):
    """Somebody who vouches for users, by signed tokens."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")
    issuer: Annotated[str, AfterValidator(_issuer_url)]
    """As in the tokens, to the letter; its discovery document lies below it."""
    audiences: list[str] = Field(min_length=1)
    """Whom a token may be for, so that one for another service does not open this one."""
    audience_claim: Literal["aud", "client_id", "azp"] = "aud"
    """Where the audience stands; access tokens of Cognito have `client_id` only."""
    algorithms: list[Algorithm] = Field(default=["RS256", "ES256"], min_length=1)
    leeway: int = Field(default=60, ge=0, le=300)
    """Seconds by which clocks may differ."""
    claims: ClaimSettings = ClaimSettings()
    userinfo: bool = False
    """Whether claims are asked of the issuer too, once for each token; for issuers whose tokens lack the groups."""
    keys_for: float = Field(default=3600.0, ge=30, le=7 * 86400)
    """Seconds after which the keys are read again; old ones are used while the issuer is away."""
    refetch_after: float = Field(default=30.0, ge=0, le=3600)
    """Seconds between two readings of the keys, however many unknown ones are named."""
    remember: float = Field(default=300.0, ge=0, le=3600)
    """Seconds for which a token that was checked is not checked again; at most until it expires."""
    timeout: float = Field(default=5.0, gt=0, le=60)
    ca_file: Path | None = None
    """Certificates that vouch for the issuer's server, where it is not a public authority."""
    login: LoginSettings | None = None

    @field_validator("audiences")
    @classmethod
    def _check_audiences(cls, value: list[str]) -> list[str]:
        if not all(value):
            raise ValueError("must not be empty")
        return value

    @property
    def prefix(self) -> str:
        """Return what stands before the names of its users."""
        return f"{self.name}:" if self.claims.prefix is None else self.claims.prefix


def check_issuers(issuers: list[IssuerSettings]) -> list[IssuerSettings]:
    """Refuse issuers whose users could be taken for each other."""
    for what, words in (
        ("name", [one.name for one in issuers]),
        ("issuer", [one.issuer for one in issuers]),
        ("claims.prefix", [one.prefix for one in issuers]),
    ):
        if twice := next((word for word in words if words.count(word) > 1), None):
            raise ValueError(f"two issuers have the {what} {twice!r}")
    return issuers
