"""How much is too much, from whom, and how often one may guess."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["GuardSettings", "GuessSettings", "Rate"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Part):
    """So many requests in so many seconds; they may come all at once, or evenly."""

    requests: int = Field(ge=1, le=10_000_000)
    seconds: float = Field(default=60.0, gt=0, le=86400)


class GuessSettings(_Part):
    """How often one may be wrong about who one is."""

    free: int = Field(default=5, ge=0)
    """Failures that cost nothing; each one more is answered later than the one before."""
    slowest: float = Field(default=4.0, ge=0, le=30)
    """Seconds by which an answer is delayed at most."""
    of_user: int = Field(default=10, ge=1)
    """Wrong passwords for one user from one address; then passwords for that user are not looked at from there."""
    of_address: int = Field(default=100, ge=1)
    """Failures of all kinds from one address; then passwords are not looked at from there. Good tokens still are."""
    window: float = Field(default=900.0, ge=1, le=86400)
    """Seconds after the last failure when all are forgotten."""


class GuardSettings(_Part):
    """Bounds for those who ask; none is no bound."""

    principal: Rate | None = Rate(requests=6000)
    """For each user, whatever they come in by."""
    address: Rate | None = Rate(requests=12000)
    """For each address, whoever asks; of IPv6 for each network of 64 bits, which is what one customer has."""
    loopback: bool = False
    """Whether this machine itself is bound too; right where a proxy on it brings everybody's requests."""
    guesses: GuessSettings = GuessSettings()
