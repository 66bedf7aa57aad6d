"""Bytes of many files at once: a folder to fetch, and a form by which a browser brings files into one."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from .fact import Event
from .files import FileRecord
from .model import Model, Timestamp
from .principals import Principal
from .query import Query
from .spec import clean_path

__all__ = [
    "LARGEST_FORM",
    "TRANSFER_EVENTS",
    "TRANSFER_QUERIES",
    "DownloadFolder",
    "FileRefused",
    "FolderContent",
    "FolderPath",
    "FormUpload",
    "OpenForm",
    "StoredAt",
]

LARGEST_FORM = 5 * 2**30
"""What S3 takes in one POST."""


def _clean_folder(value: str) -> str:
    return clean_path(value) if value.strip("/") else ""


FolderPath = Annotated[str, StringConstraints(max_length=1024), AfterValidator(_clean_folder)]
"""A folder without a `/` at its end; empty for all that the owner has."""


class StoredAt(Model):
    """A file, and where its bytes are for a while."""

    file: FileRecord
    url: str


class FolderContent(Model):
    """Some files of a folder, by path, with all that is in its folders."""

    items: list[StoredAt]
    folders: list[str] = []
    """Folders that somebody made, so that they are there even if nothing lies in them."""
    next_cursor: str | None = None


class DownloadFolder(Query):
    """Give me URLs to GET the files of a folder, as they are now; a folder that is not there is refused."""

    name: ClassVar[str] = "folder.download"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = FolderContent

    principal: Principal
    path: FolderPath = ""
    owner: str | None = None
    limit: int = Field(default=500, ge=1, le=500)
    cursor: str | None = None
    expires: float = Field(default=3600, gt=0, le=7 * 86400)
    """Seconds."""


class FormUpload(Model):
    """A form: POST each file to the URL, after the fields, in a field `file`; it is kept under its own name."""

    url: str
    fields: dict[str, str]
    folder: str
    """Where the files appear."""
    most: int
    """Bytes that one file may have."""
    expires_at: Timestamp


class OpenForm(Query):
    """Give me a form by which files come into a folder. Answered with a `FormUpload`."""

    name: ClassVar[str] = "form.open"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = FormUpload

    principal: Principal
    folder: FolderPath = ""
    owner: str | None = None
    """Whose folder; by default the principal's."""
    most: int = Field(default=LARGEST_FORM, ge=1, le=LARGEST_FORM)
    expires: float = Field(default=600, gt=0, le=7 * 86400)


class FileRefused(Event):
    """A file that came by a form is none: its name, its size or who brought it was not let in."""

    name: ClassVar[str] = "file.refused"

    owner: str
    path: str
    """Where it would be."""
    key: str
    """The object that it would have become; it does not exist."""
    size: int
    message: str
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the object's last name, which is an identifier."""
        return self.key.rsplit("/", 1)[-1] or "none"


TRANSFER_EVENTS: tuple[type[Event], ...] = (FileRefused,)
"""Facts about bytes of many files."""

TRANSFER_QUERIES: tuple[type[Query], ...] = (DownloadFolder, OpenForm)
"""Questions about bytes of many files."""
