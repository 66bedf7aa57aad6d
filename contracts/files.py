"""Files as storage tells of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from .model import Model, Timestamp

__all__ = [
    "Deleted",
    "DownloadUrl",
    "FileRecord",
    "Folder",
    "FolderRecord",
    "Moved",
    "Part",
    "PartDone",
    "Sha256",
    "UploadPlan",
]

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class FileRecord(Model):
    """A file of somebody's. Its bytes never change; another upload makes another record."""

    path: str
    owner: str
    size: int
    """Bytes."""
    sha256: Sha256
    content_type: str = "application/octet-stream"
    created_at: Timestamp
    key: str = Field(default="", exclude=False)
    """The object that holds the bytes; empty where it concerns nobody."""


class Folder(Model):
    """A folder, when a listing stops at `/`."""

    path: str
    """Ends with `/`."""


class FolderRecord(Folder):
    """A folder of somebody's, and what is in it."""

    owner: str
    files: int
    """In it and in the folders below."""
    size: int
    """Bytes of these files together."""
    made: bool
    """Whether it is there also while nothing is in it."""


class Part(Model):
    """One piece of an upload and the URL it is PUT to."""

    number: int
    offset: int
    size: int
    url: str


class PartDone(Model):
    """What the store answered for a piece."""

    number: int
    etag: str
    sha256: Sha256 | None = None
    """Of the bytes that were sent, if they shall be verified part by part."""


class UploadPlan(Model):
    """How to bring a file: PUT each part to its URL, then complete with the ticket and the ETags."""

    ticket: str
    """Opaque; proves at completion what was agreed here."""
    part_size: int
    parts: list[Part]
    """Those that are still missing."""
    done: list[PartDone] = []
    """Those that the store has already, when an upload is taken up again."""
    expires_at: Timestamp


class DownloadUrl(Model):
    """Where to GET a file, for a while."""

    url: str
    size: int
    sha256: Sha256
    expires_at: Timestamp


class Deleted(Model):
    """What became of a wish to delete."""

    deleted: int
    """Files that are gone."""
    folders: int = 0
    """Folders that were made and are gone."""


class Moved(Model):
    """What became of a wish to move."""

    path: str
    """Where it is now; a folder ends with `/`."""
    moved: int
    """Files that have another name."""
