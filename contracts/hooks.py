"""Where somebody wants to be told, and by which secret they know that it was us."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from .ids import WorkloadId
from .model import Model
from .states import WorkloadState

__all__ = ["SEALED", "Address", "Callback", "FormatName", "HookUrl", "IpAddress", "Secret", "is_sealed", "read_url"]

IpAddress = IPv4Address | IPv6Address

SEALED = "sealed:"
"""How a secret begins that only the site's services can read; this is how it travels and lies."""

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_NUMBER = re.compile(r"(0[xX][0-9A-Fa-f]*|[0-9]+)")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart, once: whoever connects uses these parts and reads the text no second time."""

    scheme: str
    host: str
    """In lower case, without brackets."""
    port: int
    target: str
    """Path and query."""

    @property
    def literal(self) -> IpAddress | None:
        """Return the address if the host is one, None if it is a name."""
        return _literal(self.host)


def read_url(url: str) -> Address:
    """Take a URL apart; raises `ValueError` for one that readers could take for different things."""
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise ValueError("must be visible ASCII characters, without backslashes; write other hosts as xn--…")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is no URL with a host and a port from 1 to 65535") from None
    if parts.scheme not in _PORTS:
        raise ValueError("must begin with https:// (or http://, where the site allows it)")
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password")
    if "#" in url:
        raise ValueError("must hold no fragment")
    host = (parts.hostname or "").lower()
    if port == 0 or parts.netloc.endswith(":") or not _is_host(host, bracketed=parts.netloc.startswith("[")):
        raise ValueError("must name a host, or an address in its usual form, and maybe a port from 1 to 65535")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], target)


def _is_host(host: str, *, bracketed: bool) -> bool:
    literal = _literal(host)
    if bracketed or literal is not None:
        return literal is not None and bracketed == isinstance(literal, IPv6Address)
    # 0x7f.1, 2130706433 and 0177.0.0.1 are names here and addresses elsewhere.
    return bool(_NAME.fullmatch(host)) and not _NUMBER.fullmatch(host.rpartition(".")[2])


def _literal(host: str) -> IpAddress | None:
    for kind in (IPv4Address, IPv6Address):
        try:
            found = kind(host)
        except AddressValueError:
            continue
        return None if isinstance(found, IPv6Address) and found.scope_id else found
    return None


def _check_url(url: str) -> str:
    read_url(url)
    return url


HookUrl = Annotated[str, StringConstraints(min_length=1, max_length=2048), AfterValidator(_check_url)]
"""Where to POST: a URL without credentials or a fragment. Which hosts are allowed is for the site to say."""

Secret = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
"""Write-only: what users give, or what `is_sealed` of it."""

FormatName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
"""How bodies are written: `cloudevents`, or what an older program expects."""


def is_sealed(secret: str) -> bool:
    """Say whether a secret is one that only the site's services can read."""
    return secret.startswith(SEALED)


class Callback(Model):
    """Whom to tell of a job's moves."""

    url: HookUrl = Field(examples=["https://hooks.example.org/shunter"])
    secret: Secret | None = Field(default=None, repr=False)
    """What bodies are signed with (`x-hub-signature-256`); write-only, at most 256 bytes."""
    secret_of: WorkloadId | None = None
    """Instead of a secret: an earlier job of one's own that told the same URL; its hidden secret is used."""
    events: list[WorkloadState] = Field(default=[], max_length=len(WorkloadState), examples=[["succeeded", "failed"]])
    """The states that are told; by default all."""
    format: FormatName = "cloudevents"
    """How bodies are written."""

    @field_validator("events")
    @classmethod
    def _check_events(cls, events: list[WorkloadState]) -> list[WorkloadState]:
        if len(set(events)) != len(events):
            raise ValueError("a state is named twice")
        return events

    @model_validator(mode="after")
    def _check_one_secret(self) -> Self:
        if self.secret is not None and self.secret_of is not None:
            raise ValueError("give either secret or secret_of")
        return self

    def wants(self, state: WorkloadState) -> bool:
        """Say whether a move to *state* is told."""
        return not self.events or state in self.events

    def hidden(self) -> Callback:
        """Return it as it may be shown."""
        return self.model_copy(update={"secret": None})
