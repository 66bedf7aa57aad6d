"""Settings of a resident runner: defaults, then the YAML file, then the environment."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ByteSize, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

__all__ = ["ContainerSection", "LogSettings", "NatsSettings", "RunnerSection", "RunnerSettings", "Server"]


class NatsSettings(BaseModel):
    """Where NATS listens and who we are there."""

    url: str = "nats://127.0.0.1:8801"
    user: str | None = None
    password: SecretStr | None = None
    replicas: int = Field(default=1, ge=1, le=5)
    """On how many servers of a cluster each stream lies."""

    @property
    def longest_request(self) -> float:
        """Seconds that a request for a task may lie at a server: one of a cluster that dies tells nobody of it."""
        return 30.0 if self.replicas == 1 else 5.0


class LogSettings(BaseModel):
    """How much is logged, and in what form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Server(BaseModel):
    """An address to listen on; loopback unless told otherwise."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)


def _own_name() -> str:
    return f"{socket.gethostname()}-1"


def _all_cpus() -> float:
    return float(os.cpu_count() or 1)


def _all_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _default_path() -> str:
    # The stack's own python comes first, so that `python train.py` finds what was installed beside us.
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


class ContainerSection(BaseModel):
    """Where runs with an image are run, and what they may do there."""

    url: str = Field(pattern=r"^unix:///[^\s]+$")
    """The socket of an engine on this machine, which is to see our files. Whoever may use it is root here."""
    network: str = Field(default="bridge", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """`bridge`, `none`, `host`, or a network by its name."""
    pull: Literal["never", "missing", "always"] = "missing"
    """Whether images come from their registries: not at all, when they are not there, or whenever there may be newer
    ones."""
    credentials: Path | None = None
    """A `config.json` as `docker login` writes it, with what registries want to know."""
    user: str | None = Field(default=None, pattern=r"^\d+:\d+$")
    """Numbers of the user and the group that runs have; by default ours, or nobody's where ours are root's."""
    read_only: bool = True
    """Whether images cannot be written to: only the working folder and `/tmp` can."""
    processes: int = Field(default=4096, ge=16)
    """Processes and threads of one run."""


class RunnerSection(BaseModel):
    """What concerns this runner alone."""

    health: Server = Server(port=8815)
    backend: str = Field(default="local", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    name: str = Field(default_factory=_own_name)
    work: Path | None = None
    """Where runs have their folders; by default `<data>/runner`."""
    cpus: float = Field(default_factory=_all_cpus, gt=0)
    memory: ByteSize = Field(default_factory=lambda: ByteSize(_all_memory()), gt=0)
    gpus: int | list[int] | None = None
    """How many GPUs, or which, to give out; none means all that NVML finds."""
    path: str = Field(default_factory=_default_path)
    """The `PATH` of users' processes."""
    inherit: list[str] = ["HOME", "LANG", "LC_ALL", "LOGNAME", "TZ", "USER"]
    """What else users' processes see of our environment; nothing that is secret belongs here."""
    files: Literal["auto", "mount", "replace"] = "auto"
    """How programs of applications are shown their working folder as `/files`: by a mount that only they see, or by
    replacing the word in their command and variables where that is not allowed. `auto` tries the former once."""
    isolation: Literal["none", "auto", "strict"] = "none"
    """Whether users' processes are kept apart from each other and from us, by bubblewrap and control groups: not at
    all, as far as this host allows, or fully, tasks being refused where it does not."""
    network: Literal["host", "own"] = "host"
    """Where they are kept apart: whether they have the network of the host, or only a loopback of their own."""
    processes: int = Field(default=4096, ge=16)
    """Where they are kept apart: how many processes and threads a run may have at once."""
    hide: list[Path] = []
    """Where they are kept apart: what else they are not to see. Our data, the runs of others, our configuration and our
    home are hidden anyway."""
    show: list[Path] = []
    """Where they are kept apart: what they may read although it lies in a folder that is hidden."""
    cgroup: Path | None = None
    """The control group, of the second version, that was given to us to make others in; none is our own."""
    containers: ContainerSection | None = None
    """The engine of a worker that runs images."""
    hidden: bool = False
    """Whether users' processes, which run as the same user, are kept from reading our environment and memory. For nodes
    where only the runner knows a secret; debuggers and monitors of that user see nothing then either."""
    heartbeat: float = Field(default=10.0, gt=0)
    sample_every: float = Field(default=1.0, gt=0)
    keep: float = Field(default=600.0, ge=0)
    """Seconds that the folder of a finished run is kept."""
    grace: float = Field(default=5.0, ge=0)
    """Seconds between SIGTERM and SIGKILL."""
    hold: float = Field(default=0.015, ge=0, le=1)
    """Seconds that a report waits for more to say."""
    patience: float = Field(default=86400.0, gt=0)
    """Seconds for which a transfer is tried again while the store is away."""
    transfers: int = Field(default=4, ge=1, le=64)
    """How many files or parts of a run travel at once."""
    live_logs: ByteSize = ByteSize(256 * 2**20)
    """Bytes of each output stream that are published live; the archived log has all."""


class RunnerSettings(BaseSettings):
    """What a runner reads. `SHUNTER_CONFIG` names the YAML file; `SHUNTER_RUNNER__CPUS` and so on win over it."""

    model_config = SettingsConfigDict(env_prefix="SHUNTER_", env_nested_delimiter="__", extra="ignore")

    data: Path = Path(".shunter")
    nats: NatsSettings = NatsSettings()
    log: LogSettings = LogSettings()
    drain: float = Field(default=15.0, ge=0, le=600)
    """Seconds that the runner takes at most to end what it runs."""
    runner: RunnerSection = Field(default_factory=RunnerSection)

    @property
    def work(self) -> Path:
        """Return the folder of the runs' folders."""
        return (self.runner.work or self.data / "runner").absolute()

    @property
    def private(self) -> list[Path]:
        """Return what no user's process should see: our data, the runs of others, our configuration and our home."""
        configuration = os.environ.get("SHUNTER_CONFIG")
        found = [self.data.absolute(), self.work, Path.home()]
        return [*found, Path(configuration).absolute()] if configuration else found

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (pydantic's signature)
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the YAML file between the environment and the defaults."""
        yaml = YamlConfigSettingsSource(settings_cls, yaml_file=os.environ.get("SHUNTER_CONFIG"))
        return init_settings, env_settings, file_secret_settings, yaml
