"""What a site says of its Slurm: how it is reached, and how our jobs look there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, model_validator

from .options import SlurmOptions

__all__ = ["GpuSettings", "RestSettings", "SlurmSettings", "SshSettings"]

_PLAIN_PATH = re.compile(r"^/[^\x00-\x1f\x7f%\\]*$")
"""Slurm puts the number of a job and the like in the place of `%` and `\\` in names of files."""


def _plain_path(value: str) -> str:
    if not _PLAIN_PATH.match(value) or ".." in value.split("/"):
        raise ValueError("must be an absolute path without `..`, `%`, `\\` or control characters")
    return value


RemotePath = Annotated[str, AfterValidator(_plain_path)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SshSettings(_Section):
    """A login node that is reached by SSH."""

    host: str
    port: int = Field(default=22, ge=1, le=65535)
    user: str
    key: Path
    """The private key on this machine; only its user may read it."""
    known_hosts: Path
    """A file with the key of the host, as OpenSSH writes it; an unknown host is not talked to."""
    connect_within: float = Field(default=10.0, gt=0)
    """Seconds."""


class RestSettings(_Section):
    """A `slurmrestd`."""

    url: str = Field(pattern=r"^(https?://|unix:///)\S+$")
    """`http://host:6820`, or `unix:///run/slurmrestd.sock`."""
    version: str | None = Field(default=None, pattern=r"^v0\.0\.\d+$")
    """Which version of its API is spoken; otherwise the newest that is known here of those that it offers."""
    user: str | None = None
    """The Slurm user whose token it is."""
    token: Path | None = None
    """A file with a JWT (`scontrol token`); it is read anew when it changes. None where the socket says who asks."""
    path: str = "/usr/local/bin:/usr/bin:/bin"
    """The `PATH` of the jobs; slurmrestd takes over nobody's environment."""


class GpuSettings(_Section):
    """What is known of one type of GPU, as `gres.conf` names it."""

    models: list[str] = []
    """What else users may call it, such as `NVIDIA A100`."""
    memory: ByteSize | None = None
    """How much memory one has, for jobs that ask for that."""


class SlurmSettings(_Section):
    """One Slurm. Without `ssh` and `rest` its commands are called on this machine, which is a login node then."""

    ssh: SshSettings | None = None
    rest: RestSettings | None = None
    conf: RemotePath | None = None
    """`SLURM_CONF`, where it is not the usual one."""
    commands: RemotePath | None = None
    """The folder of `sbatch` and the others, where they are not on the path."""
    work: RemotePath
    """A folder that all nodes see, for the output of Slurm's jobs and for runs on several nodes."""
    scratch: RemotePath | None = None
    """Where runs on one node work; by default where `TMPDIR` says."""
    python: RemotePath | None = None
    """The Python (3.9 or newer) of the nodes, where `python3` on the path is not the right one."""
    defaults: SlurmOptions = SlurmOptions()
    """Used where a job does not say otherwise."""
    allowed: dict[str, list[str]] = {}
    """By option (`partition`, `account`, `qos` …): which values jobs may choose. An option that is not named here is
    left to Slurm's own rights, which are those of one user for all jobs."""
    accounts: dict[str, str] = {}
    """The Slurm account of each project, for jobs that name none."""
    gpus: dict[str, GpuSettings] = {}
    """The types of GPUs, where users call them differently than `gres.conf` does or ask for their memory."""
    every: float = Field(default=2.0, gt=0)
    """Seconds between two looks at the queue."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds after which a command or a request is given up."""
    last_words: float = Field(default=60.0, ge=1, le=600)
    """Seconds that the pilot has between Slurm's warning and its end, to take home what there is."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.ssh and self.rest:
            raise ValueError("give either ssh or rest")
        unknown = set(self.allowed) - set(SlurmOptions.model_fields)
        if unknown:
            raise ValueError(f"allowed: there is no option {', '.join(sorted(unknown))}")
        return self
