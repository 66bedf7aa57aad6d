"""decode's models, with its names; names that it does not know are passed over."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, field_validator

from contracts.spec import clean_path

from .groups import Group
from .states import JobStates

__all__ = [
    "Application",
    "Environments",
    "FileHTTPRequest",
    "FileInfo",
    "FileTypes",
    "FileUpdate",
    "HardwareSpecs",
    "InputJobAttributes",
    "Job",
    "JobAttributes",
    "JobCreate",
    "LoggedIn",
    "TokenResponse",
    "UploadFileTypes",
    "User",
]

Environments = Literal["cloud", "local", None]  # noqa: PYI061 (what is wrong is said with the None in it)
"""Where a job may run; none is anywhere."""

_MOST_PRIORITY = 5


def _own_folder(name: str) -> str:
    """Refuse a name of a job that names no folder: its outputs are kept under it."""
    if clean_path(name) != name:
        raise ValueError("the name must be that of a folder, without empty parts")
    return name


class UploadFileTypes(StrEnum):
    """Which folders files may be uploaded to."""

    CONFIG = "config"
    DATA = "data"
    ARTIFACT = "artifact"


class FileTypes(StrEnum):
    """What lies somewhere."""

    FILE = "file"
    DIRECTORY = "directory"


class FileInfo(BaseModel):
    """A file, or a folder, whose path ends with `/`."""

    path: str
    type: FileTypes
    size: str
    """For people, such as `1.2 kB`; empty for a folder."""


class FileUpdate(BaseModel):
    """Where a file shall be."""

    path: str = Field(min_length=1, max_length=1024)


class FileHTTPRequest(BaseModel):
    """A request that the client is to make as it stands here; to upload, with a file in a last field `file`."""

    method: str
    url: str
    headers: dict[str, str] = {}
    data: dict[str, str] = {}


class Application(BaseModel):
    """What to start, as `GET /jobs/applications` lists it."""

    application: str = Field(max_length=128)
    version: str = Field(max_length=128)
    entrypoint: str = Field(max_length=128)


class InputJobAttributes(BaseModel):
    """Which folders are brought to it: of `config`, of `data`, and of `artifact`."""

    config_id: str | None = Field(default=None, max_length=1024)
    data_ids: list[Annotated[str, Field(max_length=1024)]] | None = Field(default=None, max_length=1000)
    artifact_ids: list[Annotated[str, Field(max_length=1024)]] | None = Field(default=None, max_length=1000)


class JobAttributes(BaseModel):
    """What a job begins with."""

    files_down: InputJobAttributes
    env_vars: dict[str, Annotated[str, Field(max_length=131_071)]] | None = Field(default=None, max_length=1000)


class HardwareSpecs(BaseModel):
    """What it needs; none means that anything will do."""

    cpu_cores: Annotated[int, Field(ge=1, le=4096)] | None = None
    memory: Annotated[int, Field(ge=1, le=2**30)] | None = None
    """Megabytes."""
    gpu_model: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9._ -]+$")] | None = None
    gpu_archi: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9._ -]+$")] | None = None
    gpu_mem: Annotated[int, Field(ge=1, le=2**30)] | None = None
    """Megabytes."""


class JobCreate(BaseModel):
    """A job that is asked for."""

    job_name: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_own_folder)]
    environment: Environments = None
    priority: int | None = None
    """0 to 5; larger goes first."""
    application: Application
    attributes: JobAttributes
    hardware: HardwareSpecs | None = None

    @field_validator("priority")
    @classmethod
    def _check_priority(cls, priority: int | None) -> int | None:
        if priority is not None and not 0 <= priority <= _MOST_PRIORITY:
            raise ValueError(f"Priority must be between 0 and {_MOST_PRIORITY}, not {priority}.")
        return priority


class Job(JobCreate):
    """A job, and how it stands. Dates are in UTC and do not say so."""

    id: int
    date_created: datetime
    date_started: datetime | None
    date_finished: datetime | None
    status: JobStates
    runtime_details: str | None = None
    paths_out: dict[str, str]
    """Where what it leaves behind is kept."""
    user_id: str
    user_email: str | None = None


class User(BaseModel):
    """Somebody, and the groups that they are in."""

    email: str
    groups: list[Group] | None


class TokenResponse(BaseModel):
    """A token, for `Authorization: Bearer`."""

    id_token: str
    expires_in: int
    """Seconds."""


class LoggedIn(BaseModel):
    """Said to who logged in."""

    message: str
