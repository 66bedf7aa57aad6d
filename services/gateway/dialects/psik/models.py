"""The models of psik 1.x and 2.x, with their names; what the originals let through and could not run is refused."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from contracts.spec import MAX_SCRIPT
from contracts.words import plain_line

__all__ = [
    "JOBID",
    "BackendConfig",
    "Callback",
    "ErrorStatus",
    "FileStat",
    "JobSpec1",
    "JobSpec2",
    "JobState",
    "JobStepInfo",
    "ResourceSpec",
    "Stat",
    "StatusValue",
    "SystemStatus",
]

JOBID = r"^[0-9]{1,15}\.[0-9]{0,9}$"

_Line = Annotated[str, Field(max_length=256), AfterValidator(plain_line)]


class JobState(StrEnum):
    """Where a job stands."""

    NEW = "new"
    QUEUED = "queued"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class BackendConfig(BaseModel):
    """How a job of 1.x says what its backend is to do. `project_name` is whom to bill; the rest is passed over."""

    type: str = "local"
    queue_name: str | None = None
    project_name: str | None = None
    reservation_id: str | None = None
    attributes: dict[str, str] = {}


class ResourceSpec(BaseModel):
    """What a job asks for."""

    duration: int = Field(default=10, ge=1, le=525_600, title="Max walltime of the job in minutes")
    node_count: int | None = Field(default=None, ge=1, le=10_000, title="Number of compute nodes")
    process_count: int | None = Field(default=None, ge=1, le=100_000)
    """All processes together; not with `processes_per_node`."""
    processes_per_node: int | None = Field(default=None, ge=1, le=100_000)
    cpu_cores_per_process: int = Field(default=1, ge=1, le=4096, title="CPU cores for each process")
    gpu_cores_per_process: int = Field(default=0, ge=0, le=1024)
    exclusive_node_use: bool = True

    @model_validator(mode="after")
    def _check_exclusive(self) -> Self:
        if self.process_count is not None and self.processes_per_node is not None:
            raise ValueError("give process_count, or node_count and processes_per_node, but not both")
        if self.processes > 100_000:
            raise ValueError("node_count x processes_per_node must not be more than 100000")
        return self

    @property
    def processes(self) -> int:
        """Return how many processes there are together."""
        if self.processes_per_node is not None:
            return (self.node_count or 1) * self.processes_per_node
        return self.process_count or self.node_count or 1


class JobSpec1(BaseModel):
    """A job as psik 1.x describes it. Names that it does not know are passed over."""

    model_config = ConfigDict(extra="ignore", title="JobSpec")

    name: _Line | None = Field(default=None, title="Job name")
    directory: str | None = Field(default=None, title="Job run directory")
    script: str = Field(max_length=MAX_SCRIPT, title="Shell / shebang script to execute")
    environment: dict[str, str] = Field(default={}, max_length=900)
    inherit_environment: bool = True
    """False: the job sees only `environment` and what is set for it."""
    resources: ResourceSpec = ResourceSpec()
    backend: BackendConfig | _Line | None = None
    """How the backend is to be used (1.x), or its name (2.x)."""
    attributes: dict[str, str] = {}
    callback: str | None = Field(default=None, max_length=2048, title="URL to send event notifications.")
    cb_secret: SecretStr | None = Field(default=None, max_length=1024)
    client_secret: SecretStr | None = Field(default=None, max_length=120)

    @property
    def backend_name(self) -> str | None:
        """Return the backend that the job names itself, as 2.x has it."""
        return self.backend if isinstance(self.backend, str) else None

    @property
    def project(self) -> str | None:
        """Return whom to bill, if the job says so."""
        return self.backend.project_name if isinstance(self.backend, BackendConfig) else None


class JobSpec2(JobSpec1):
    """A job as psik 2.x describes it. Names that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", title="JobSpec")


class JobStepInfo(BaseModel):
    """One step of a job."""

    jobid: str
    name: str
    updated: float
    jobndx: int
    """0 for new and canceled, else the number of the run."""
    state: JobState
    info: int
    """The exit code of a run that ended by itself, else 0."""


class Callback(BaseModel):
    """What somebody says that a job has reached."""

    jobid: str = Field(pattern=r"^[0-9]{1,15}(\.[0-9]{1,9})?$", title="Job ID")
    jobndx: int
    state: JobState
    info: int = 0


class ErrorStatus(StrEnum):
    """Whether what was said of a job is so."""

    OK = "OK"
    ERROR = "ERROR"


class Stat(BaseModel):
    """A file, or a folder, as 1.x shows it."""

    size: int
    atime: int
    mtime: int


class FileStat(Stat):
    """A file, or a folder, as 2.x shows it."""

    children: bool
    """Whether it is a folder."""


class StatusValue(StrEnum):
    """How a backend fares."""

    ACTIVE = "active"
    UNAVAILABLE = "unavailable"
    DEGRADED = "degraded"
    OTHER = "other"


class SystemStatus(BaseModel):
    """A backend."""

    name: str
    full_name: str | None = None
    description: str | None = None
    system_type: str | None = None
    notes: list[str] = []
    status: StatusValue
    updated_at: datetime | None = None
