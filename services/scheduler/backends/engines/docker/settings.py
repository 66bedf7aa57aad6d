"""What a site says of one Docker or Podman engine."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from contracts.resources import Bytes
from services.scheduler.containers.settings import EngineAccess

__all__ = ["DockerOptions", "DockerSettings", "Gpu"]

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Gpu(BaseModel):
    """One GPU of the engine's machine. A container gets it alone."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1)
    """Without `devices`: its number or UUID, as NVIDIA's container runtime knows it."""
    model: str | None = None
    memory: Bytes | None = None
    devices: list[Annotated[str, StringConstraints(pattern=r"^/dev/[^:]+(:/dev/[^:]+)?$")]] = []
    """Device files that make it up, for what that runtime does not know; `/dev/here:/dev/in-the-container` renames."""


class DockerSettings(EngineAccess):
    """Where the engine is, and what containers there may do."""

    image: str | None = None
    """Of jobs that name none."""
    network: str = Field(default="bridge", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """`bridge`, `host`, or a network by its name. NATS and the store must be in reach of it."""
    hosts: dict[str, str] = {}
    """Names that containers are to know, with their addresses; `host-gateway` is the engine's machine."""
    user: str = Field(default="65534:65534", pattern=r"^\d+:\d+$")
    """Numbers of the user and the group that jobs run as."""
    groups: list[str] = []
    """Further groups, for device files."""
    read_only: bool = True
    """Whether the image cannot be written to: only the working folder, `/tmp` and `/dev/shm` can."""
    memory: Bytes | None = None
    """What a job may have that says nothing; none is no limit."""
    pids: int = Field(default=4096, ge=16)
    """Processes and threads of one container."""
    cpus: float | None = Field(default=None, gt=0)
    """How many of the machine's cores are for jobs; none is all."""
    total_memory: Bytes | None = None
    """How much of its memory is; none is all."""
    gpus: list[Gpu] = []
    pilot: Literal["mount", "fetch"] = "mount"
    """How our program comes into a container: a file of this machine, which the engine must see under the same path;
    or fetched from the store by the container itself."""
    grace: float = Field(default=30.0, ge=0)
    """Seconds from SIGTERM to SIGKILL, in which what there is is brought home."""

    @field_validator("network")
    @classmethod
    def _check_network(cls, network: str) -> str:
        if network == "none":
            raise ValueError("a job could not reach NATS and the store: name an internal network on which they are")
        return network

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        host = urlsplit(self.url).hostname
        if self.url.startswith("tcp://") and self.tls is None and host not in _LOOPBACK:
            raise ValueError("tls is needed: whoever reaches the engine over the network is root on its machine")
        names = [gpu.id for gpu in self.gpus]
        if len(set(names)) != len(names):
            raise ValueError("a GPU is named twice")
        return self


class DockerOptions(BaseModel):
    """What a job may say for this kind of backend."""

    model_config = ConfigDict(extra="forbid")

    shm: Bytes | None = None
    """The size of `/dev/shm`, which counts as memory; 64 MiB if nothing is said."""
