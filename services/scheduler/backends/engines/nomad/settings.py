"""What a site says of its Nomad cluster, and what a job may say."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["Constraint", "NomadOptions", "NomadSettings", "NomadTls"]


class Constraint(BaseModel):
    """What a node must be like, in Nomad's words."""

    model_config = ConfigDict(extra="forbid")

    attribute: str = Field(max_length=200)
    """Such as `${attr.cpu.arch}` or `${meta.rack}`."""
    operator: str = Field(default="=", max_length=40)
    value: str = Field(default="", max_length=500)


class NomadTls(BaseModel):
    """How an `https` address is checked, and who we are to it."""

    model_config = ConfigDict(extra="forbid")

    ca_file: Path | None = None
    """Whose certificates are believed; by default those that the machine believes."""
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None
    """The name in the certificate, where it is not that of the address, such as `server.global.nomad`."""


class NomadSettings(BaseModel):
    """One Nomad cluster. Memory and disk in bytes, times in seconds."""

    model_config = ConfigDict(extra="forbid")

    address: str = Field(default="http://127.0.0.1:4646", pattern=r"^https?://[^/?#@]+/?$")
    region: str | None = None
    token_file: Path | None = None
    """Holds the ACL token and nothing else; it is read at every call, so that it may be exchanged."""
    tls: NomadTls = NomadTls()
    timeout: float = Field(default=10.0, gt=0)
    """Of one call."""
    namespace: str = "default"
    namespaces: dict[str, str] = {}
    """Namespaces of projects; the others use the one above. They must be there."""
    datacenters: list[str] = []
    """Where jobs may go; by default wherever a node is."""
    constraints: list[Constraint] = []
    """What holds for every job."""
    driver: str = "exec"
    """Of jobs without an image."""
    image_driver: str = "docker"
    """Of jobs with an image."""
    template: Path | None = None
    """The `nomad.hcl` of jobs without an image; by default the one that comes with Shunter."""
    image_template: Path | None = None
    """Likewise, of jobs with an image."""
    user: str | None = None
    """Whom jobs run as on the node; by default what the driver or the image says."""
    priority: int = Field(default=50, ge=1, le=100)
    """Nomad's priority of a job whose own is 0; a job's own is added."""
    mhz: int | None = Field(default=None, ge=1)
    """What one CPU of a job is to Nomad; by default what a core of the slowest node has."""
    cores: bool = False
    """Whether whole cores are reserved (Nomad 1.1 and newer)."""
    memory: int = Field(default=512 * 2**20, ge=2**20)
    """Of jobs that do not say."""
    disk: int = Field(default=300 * 2**20, ge=10 * 2**20)
    """What is set aside on the node for a job's files."""
    gpu_device: str = Field(default="nvidia/gpu", pattern=r"^[^/]+/[^/]+$")
    """Vendor and type of the devices that are GPUs."""
    gpu_meta: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]+$")
    """The key in the nodes' `meta` that says the model of their GPUs, if devices are not to say it themselves."""
    kill_timeout: float = Field(default=30.0, gt=0)
    """From SIGTERM to SIGKILL; a node's `max_kill_timeout` bounds it."""

    @field_validator("address")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")

    def namespace_of(self, project: str | None) -> str:
        """Return where the jobs of a project go."""
        return self.namespaces.get(project or "", self.namespace)


class NomadOptions(BaseModel):
    """What a job may say in `placement.options.nomad`: it can only make its choice of nodes smaller."""

    model_config = ConfigDict(extra="forbid")

    datacenters: list[str] = Field(default=[], max_length=100)
    node_class: str | None = Field(default=None, max_length=200)
    constraints: list[Constraint] = Field(default=[], max_length=100)
