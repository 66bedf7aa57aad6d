"""How an engine that runs containers is reached, and where it has its images from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["EngineAccess", "Tls"]


class Tls(BaseModel):
    """Files by which we and an engine elsewhere know each other."""

    model_config = ConfigDict(extra="forbid")

    ca: Path
    certificate: Path
    key: Path


class EngineAccess(BaseModel):
    """One Docker or Podman engine."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(default="unix:///var/run/docker.sock", pattern=r"^(unix:///|tcp://)[^\s]+$")
    """Whoever may use it is root on its machine."""
    tls: Tls | None = None
    timeout: float = Field(default=60.0, gt=0)
    """Seconds that the engine may take to answer."""
    threads: int = Field(default=8, ge=1, le=64)
    """Calls at the same time."""
    pull: Literal["never", "missing", "always"] = "missing"
    """Whether images come from their registries: not at all, when they are not there, or whenever there may be newer
    ones."""
    credentials: Path | None = None
    """A `config.json` as `docker login` writes it, with what registries want to know."""
