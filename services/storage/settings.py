"""Settings of the storage service."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ByteSize, Field, SecretStr

from contracts.resources import Bytes, Span
from contracts.spec import FilePath
from services.chassis.settings import ChassisSettings, Server

from .stored import Reason

__all__ = ["ObjectSettings", "S3Settings", "StorageSection", "StorageSettings"]

_MIB = 2**20


class S3Settings(BaseModel):
    """Where the objects lie and who we are there."""

    endpoint: str = "127.0.0.1:8804"
    """Host and port, without a scheme."""
    public_endpoint: str | None = None
    """Where users and runners reach it, if that is elsewhere; may begin with `http://` or `https://`."""
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")
    secure: bool = False
    """Whether to speak TLS."""
    region: str = "us-east-1"
    calls: int = Field(default=8, ge=1, le=256)
    """Short calls at the same time."""
    readers: int = Field(default=2, ge=1, le=64)
    """Objects that are read through for their checksum at the same time."""


class ObjectSettings(BaseModel):
    """Which kind of store holds the bytes, and where it is if it is a folder."""

    kind: Literal["s3", "folder"] = "s3"
    path: Path | None = None
    """The folder; by default `<data>/objects`."""
    public_url: str | None = None
    """Where users, runners and the gateway reach this service, if that is not where it listens (`health`)."""
    keep_free: ByteSize = ByteSize(2**30)
    """Bytes of the disk that uploads leave free."""


class StorageSection(BaseModel):
    """What is under `storage` in the file."""

    health: Server = Server(port=8813)
    database_url: str | None = None
    """By default a SQLite file in the data folder."""
    objects: ObjectSettings = ObjectSettings()
    s3: S3Settings = S3Settings()
    bucket: str = Field(default="shunter-files", min_length=3, max_length=63)
    part_size: int = Field(default=8 * _MIB, ge=5 * _MIB, le=5 * 2**30)
    """Bytes; larger files come in parts, larger parts for files that would need too many. A gigabyte in parts of 64 MiB
    costs SeaweedFS half as much CPU again as in parts of 8."""
    retention: timedelta = Field(default=timedelta(hours=24), ge=timedelta(0))
    """How long bytes stay that no file names any more: jobs that froze them may still have to fetch them."""
    versions: Annotated[Span, Field(ge=timedelta(0))] = timedelta(days=7)
    """How long what a file was before it was overwritten can be brought back."""
    trash: Annotated[Span, Field(ge=timedelta(0))] = timedelta(days=7)
    """How long a deleted file can be brought back."""
    quota: Bytes | None = None
    """What the files of a user may come to of whom no rule says more; by default there is no limit."""
    expire: dict[Literal["/"] | FilePath, Annotated[Span, Field(ge=timedelta(minutes=1))]] = {}
    """By folder, `/` for all: so long after they came files go to the trash, whoever has them. Users may say less."""
    areas: list[FilePath] = Field(default=[], max_length=100)
    """Folders that every user has, also while nothing is in them; nobody moves or removes them."""
    abandoned_after: timedelta = Field(default=timedelta(hours=24), ge=timedelta(0))
    """How long an upload is kept whose URLs have expired."""
    sweep_every: timedelta = Field(default=timedelta(minutes=10), gt=timedelta(0))
    """The pause between two sweeps."""

    @property
    def area_folders(self) -> list[str]:
        """Return the folders that every user has, with `/` at their end."""
        return [f"{area}/" for area in self.areas]

    @property
    def kept(self) -> dict[Reason, timedelta]:
        """Return how long bytes stay that no file names any more, by the reason; never too short for jobs."""
        return {reason: max(self.retention, self.shown.get(reason, self.retention)) for reason in Reason}

    @property
    def shown(self) -> dict[Reason, timedelta]:
        """Return how long users can bring back what a file was, by the reason for which it went."""
        return {Reason.OVERWRITTEN: self.versions, Reason.DELETED: self.trash, Reason.EXPIRED: self.trash}


class StorageSettings(ChassisSettings):
    """The common part and our own section."""

    storage: StorageSection = StorageSection()

    @property
    def database_url(self) -> str:
        """Return where the names of the files lie."""
        default = f"sqlite+aiosqlite:///{self.data.absolute() / 'db' / 'storage.db'}"
        return self.storage.database_url or default
