"""How the site sends mail, and to whom it may."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from contracts.mail import MailAddress
from services.scheduler.patience import Patience

__all__ = ["Mail", "Mailjet", "Smtp"]

_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]
AddressPattern = Annotated[str, StringConstraints(to_lower=True, pattern=r"^(\*|(\*|[^\s@*]+)@[^\s@*]+)$")]
"""An address, `*@example.org` for all of a domain, or `*` for everybody."""


class _Way(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Smtp(_Way):
    """A mail server that takes mail from us."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """`implicit` is the older way of port 465. What a server does not offer is not done without."""
    user: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    """Whose certificates are believed, beside the usual ones."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password are given together")
        if self.password is not None and self.tls == "none" and not _is_here(self.host):
            raise ValueError("a password is sent with tls only, but to this machine")
        return self


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Mailjet(_Way):
    """Mailjet's send API v3.1, or what speaks it."""

    url: _Url = "https://api.mailjet.com/v3.1/send"
    key: SecretStr
    secret: SecretStr
    ca_file: Path | None = None
    """Whose certificates are believed, beside the usual ones."""


class Mail(Patience):
    """Without `smtp` and `mailjet` no mail is sent, and a job that wants some is refused."""

    smtp: Smtp | None = None
    mailjet: Mailjet | None = None
    sender: MailAddress | None = None
    """Whom mail is from."""
    sender_name: str = Field(default="Shunter", max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")
    to: list[AddressPattern] = []
    """Where mail may go beside the owners' own addresses; by default nowhere."""
    site_url: _Url | None = None
    """Where users reach the gateway: without it a mail has no links."""
    templates: Path | None = None
    """A folder with templates that are used instead of ours, those of the same name."""
    timeout: float = Field(default=30.0, gt=0, le=120)
    """Seconds that one try may take."""
    at_once: int = Field(default=4, ge=1)
    """Mails that are handed to the server at a time."""

    @model_validator(mode="after")
    def _check_way(self) -> Self:
        if self.smtp is not None and self.mailjet is not None:
            raise ValueError("give either smtp or mailjet")
        if self.is_on and self.sender is None:
            raise ValueError("sender: say whom mail is from")
        return self

    @property
    def is_on(self) -> bool:
        """Say whether this site sends mail."""
        return self.smtp is not None or self.mailjet is not None

    def allows(self, address: str) -> bool:
        """Say whether mail may go to an address that is not the owner's own."""
        known = address.lower()
        domain = known.rpartition("@")[2]
        return any(pattern in {"*", known, f"*@{domain}"} for pattern in self.to)
