"""What a site says of its pilots."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, SecretStr

from contracts.pilots import PilotTerms

__all__ = ["PilotSettings"]

_WEEK = 7 * 86400.0


class PilotSettings(BaseModel):
    """The part of the file under `scheduler.pilots`. All times in seconds."""

    nats_url: str = ""
    """Where clusters reach NATS; by default where we do. Several are separated by commas."""
    ca_file: Path | None = None
    """Certificates of the authorities, as PEM, that pilots believe beside the usual ones: of NATS and of the store."""
    seed: SecretStr = SecretStr("")
    """The seed (`SA…`) of the key that signs what pilots may; by default one that is made from `ticket_key`. NATS must
    know the public key that belongs to it; `python -m services.scheduler.pilots.issuer` says it."""
    account: str = "$G"
    """The account of NATS that we are in."""
    credentials: float = Field(default=900.0, ge=2, le=86400)
    """How long a pilot is let in at a time; it comes again while its native job is alive."""
    file_lives: float = Field(default=_WEEK, ge=60, le=_WEEK)
    """How long the address is good from which nodes fetch the pilot: a native job that waits longer is started anew."""
    terms: PilotTerms = PilotTerms()
