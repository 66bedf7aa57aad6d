"""The applications that a site offers: what an `application_config.yaml` says, and what becomes of the file."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints, field_validator

from .applications import Argument, CatalogName
from .environment import check_env
from .fact import Event
from .files import Sha256
from .model import Model, Timestamp
from .paths import FilePath
from .principals import Principal
from .query import Query

__all__ = [
    "CATALOG_EVENTS",
    "AppPart",
    "Applications",
    "AwsResources",
    "Catalog",
    "CatalogBroken",
    "CatalogFault",
    "CatalogLoaded",
    "Entrypoint",
    "Handler",
    "Hardware",
    "ListApplications",
]

_MOST = 2**31 - 1

Word = Annotated[str, StringConstraints(min_length=1, max_length=100_000, pattern=r"^[^\x00]*$")]
Count = Annotated[int, Field(strict=True, ge=0, le=_MOST)]


class AppPart(Model):
    """What is run."""

    cmd: list[Word] = Field(min_length=1, max_length=1000)
    """Words of a shell, which are joined with blanks; `/files` is the working folder."""
    env: list[str] = Field(default=[], max_length=1000)
    """Names of the variables that users may set."""

    @field_validator("env")
    @classmethod
    def _check_names(cls, names: list[str]) -> list[str]:
        check_env(dict.fromkeys(names, ""))
        return names


class Handler(Model):
    """Where it runs, and the folders that are brought to it and taken from it."""

    image_url: str | None = Field(default=None, min_length=1, max_length=512, pattern=r"^[^\s]+$")
    """The container image, for backends that run them."""
    files_down: dict[Argument, FilePath] = Field(default={}, max_length=64)
    """By argument: the folder below `/files` to which what a user names is brought."""
    files_up: dict[Argument, FilePath] = Field(default={}, max_length=64)
    """By argument: the folder below `/files` whose files are kept after the end."""


class Hardware(Model):
    """What it gets where a user asks for nothing else."""

    MEMORY: Annotated[Count, Field(gt=0)] | None = None
    """MiB."""
    VCPU: Annotated[Count, Field(gt=0)] | None = None
    GPU: Count | None = None


class AwsResources(Model):
    """The hardware, and how long it may run."""

    hardware: Hardware | None = None
    timeout: Annotated[Count, Field(gt=0, le=365 * 86400)] | None = None
    """Seconds."""


class Entrypoint(Model):
    """One way to start an application."""

    app: AppPart
    handler: Handler = Handler()
    aws_resources: AwsResources | None = None


Applications = dict[CatalogName, dict[CatalogName, dict[CatalogName, Entrypoint]]]
"""By application, version and entrypoint, in the order of the file."""


class CatalogFault(Model):
    """One thing that is wrong in the file."""

    line: int | None = None
    """Counts from 1; none where it is the file as a whole."""
    field: str = ""
    message: str


class Catalog(Model):
    """What the site offers now."""

    applications: dict[str, dict[str, dict[str, Entrypoint]]] = {}
    sha256: str = ""
    """Of the file that it was read from; empty where there is none."""
    loaded_at: Timestamp | None = None
    faults: list[CatalogFault] = []
    """For operators: why the file, as it is now, is not what is offered."""


class ListApplications(Query):
    """Give me what the site offers. Answered with the `Catalog`."""

    name: ClassVar[str] = "application.list"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Catalog

    principal: Principal


class _CatalogEvent(Event):
    source: str
    """The file, or the address of the object."""
    sha256: Sha256 | None = None
    """None if it cannot be read."""
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the beginning of its checksum."""
        return (self.sha256 or "none")[:16]


class CatalogLoaded(_CatalogEvent):
    """Other applications are offered from now on, or the same again after a broken edit."""

    name: ClassVar[str] = "catalog.loaded"

    entrypoints: list[str] = Field(default=[], max_length=10_000)
    """All that can be started, as `application/version/entrypoint`."""


class CatalogBroken(_CatalogEvent):
    """The file was changed to what cannot be used: what was offered before stays."""

    name: ClassVar[str] = "catalog.broken"

    faults: list[CatalogFault] = []


CATALOG_EVENTS: tuple[type[Event], ...] = (CatalogLoaded, CatalogBroken)
