"""What operators see: findings about the site, and messages that could not be handled."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from .model import Model, Timestamp

__all__ = [
    "Diagnosis",
    "Finding",
    "ParkedChange",
    "ParkedMessage",
    "ParkedPage",
    "ParkedView",
    "Severity",
    "SiteHealth",
]


class Severity(StrEnum):
    """How bad a finding is."""

    CRITICAL = "critical"
    """Work stands still, or will be lost."""
    WARNING = "warning"
    """Work goes on; somebody should look today."""
    NOTE = "note"
    """Good to know."""


class Finding(Model):
    """Something that is not as it should be, and what mends it."""

    code: str
    """For programs: lower case with dashes, never changes its meaning."""
    severity: Severity
    part: str
    """The service, server, stream or backend it is about."""
    what: str
    evidence: list[str] = []
    cause: str = ""
    remedy: str = ""
    """The command that mends it, or the first one to run."""


class Diagnosis(Model):
    """What one service found when it looked at itself."""

    service: str
    findings: list[Finding]
    probes: dict[str, str] = {}
    """What was looked at: `ok`, or why it could not be."""


class SiteHealth(Model):
    """The whole site in one view."""

    status: Literal["ok", "degraded", "failing"]
    """`failing` with a critical finding, `degraded` with a warning."""
    at: Timestamp
    seconds: float
    """How long the looking took; it has a limit, whatever is down."""
    findings: list[Finding]
    """The worst first."""
    probes: dict[str, str]


class ParkedMessage(Model):
    """A message that a service could not handle, many times."""

    sequence: int
    """Its place among the parked ones; names it in all calls."""
    parked_at: Timestamp
    service: str
    """Who could not handle it."""
    subject: str
    """Where it was sent, and will be sent again."""
    message_id: str
    deliveries: int = 0
    """How often it was tried; 0 if that was not noted."""
    error: str = ""
    size: int


class ParkedView(ParkedMessage):
    """A parked message with what is in it; secrets are left out."""

    envelope: dict[str, Any] | None = None
    """Who sent it, when and why; none if it is no envelope."""
    body: Any = None
    """Its JSON, else its text."""


class ParkedPage(Model):
    """Some parked messages, oldest first."""

    items: list[ParkedMessage]
    next_cursor: str | None = None


class ParkedChange(Model):
    """Which parked messages were sent again or dropped."""

    sequences: list[int]
    more: bool = False
    """Whether others fit too: ask again."""
