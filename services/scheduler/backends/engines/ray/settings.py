"""What a site says of its Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, model_validator

from .options import CustomResources, Labels

__all__ = ["GpuModel", "RaySettings"]


class GpuModel(BaseModel):
    """How a model of GPUs is asked for on this cluster."""

    model_config = ConfigDict(extra="forbid")

    resources: CustomResources = {}
    """Of each of its GPUs, such as `{A100: 1}`, as the nodes declare them."""
    labels: Labels = {}
    """Of its nodes."""
    memory: int | None = Field(default=None, gt=0)
    """Bytes of one GPU: Ray knows nothing of it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.resources and not self.labels:
            raise ValueError("resources or labels, or both, tell its nodes from others")
        return self


class RaySettings(BaseModel):
    """Where the API of its jobs listens, and how it is used."""

    model_config = ConfigDict(extra="forbid")

    address: HttpUrl = HttpUrl("http://127.0.0.1:8265")
    """Of the dashboard."""
    token_file: Path | None = None
    """The token of a cluster with `RAY_AUTH_MODE=token`; read each time, so that it can be exchanged."""
    ca_file: Path | None = None
    """Whose certificates are believed, if not the usual ones."""
    certificate: Path | None = None
    """Shown to a proxy in front of the dashboard; with its key, as PEM."""
    key: Path | None = None
    timeout: float = Field(default=30.0, gt=0, le=600)
    """Seconds that one answer may take."""
    at_once: int = Field(default=16, ge=1, le=256)
    """Requests that are under way at the same time."""
    looks_every: float = Field(default=2.0, gt=0, le=600)
    """Seconds between two looks at all jobs; more, when reading them costs much."""
    stop_within: int = Field(default=30, ge=1, le=3600)
    """Seconds between SIGTERM and SIGKILL, for the last words of what is stopped."""
    python: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]+$")] = "python"
    """The Python on the head that knows Ray: only with its help does a job leave the queue."""
    gpu_models: dict[str, GpuModel] = {}
    """By name, beside those that Ray found by itself (`accelerator_type:…`, `ray.io/accelerator-type`)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are given together")
        return self
