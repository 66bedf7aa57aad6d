"""What runners ask of storage, by their tickets."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from .files import Sha256, UploadPlan
from .model import Model
from .query import Query
from .runs import FrozenInput
from .shelves import FolderRoom
from .spec import FilePath

__all__ = ["CheckRunRoom", "DownloadRunInputs", "OpenRunUpload", "RunDownloads"]


class RunDownloads(Model):
    """A URL for each target."""

    urls: dict[str, str]


class DownloadRunInputs(Query):
    """A runner asks for the URLs of its frozen inputs, by its ticket."""

    name: ClassVar[str] = "run.download"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = RunDownloads

    ticket: str
    inputs: list[FrozenInput]
    expires: float = Field(default=3600, gt=0, le=7 * 86400)
    """Seconds that the URLs are good."""


class CheckRunRoom(Query):
    """Say how large an output can be at most, or refuse one that no room will ever be enough for."""

    name: ClassVar[str] = "run.room"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = FolderRoom

    ticket: str
    path: FilePath
    to: FilePath | None = None
    size: int = Field(ge=0)


class OpenRunUpload(Query):
    """A runner asks to store an output or a log, by its ticket. Answered with an `UploadPlan`."""

    name: ClassVar[str] = "run.upload"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = UploadPlan

    ticket: str
    path: FilePath
    """Below the job's folder: `outputs/…` or `logs/<attempt>/…`."""
    to: FilePath | None = None
    """The folder of the owner's that takes the place of `outputs`; the ticket must name it."""
    size: int = Field(ge=0, le=5 * 2**40)
    sha256: Sha256
