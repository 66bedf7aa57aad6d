"""Calls about files; the bytes go to and from the store directly."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from contracts.files import DownloadUrl, PartDone, UploadPlan
from contracts.model import Model
from shunter.models import FileList, FileView

from .call import Call, params_of, path_of, reads

__all__ = [
    "complete_upload",
    "delete_file",
    "download_url",
    "list_files",
    "open_upload",
    "resume_upload",
]

_FILES = "v1/files"
_UPLOADS = "v1/uploads"


class _NewUpload(Model):
    path: str
    size: int
    sha256: str
    content_type: str
    owner: str | None = None


class _Ticket(Model):
    ticket: str


class _Parts(Model):
    ticket: str
    parts: list[PartDone]


class _Wanted(Model):
    path: str
    owner: str | None = None


def list_files(
    prefix: str = "",
    *,
    recursive: bool = True,
    limit: int = 100,
    cursor: str | None = None,
    owner: str | None = None,
) -> Call[FileList]:
    """List a page of files below a prefix: one's own, or those that *owner* shares."""
    params = params_of(prefix=prefix or None, recursive=recursive, limit=limit, cursor=cursor, owner=owner)
    return Call("GET", path_of(_FILES), reads(FileList), params)


def delete_file(path: str, *, recursive: bool = False, forever: bool = False) -> Call[bool]:
    """Remove a file, or a folder with all that is in it; false means that the command is kept for later."""
    return Call("DELETE", path_of(_FILES, path), _is_done, params_of(recursive=recursive, forever=forever or None))


def _is_done(response: httpx.Response) -> bool:
    return response.status_code != 202


def open_upload(path: str, *, size: int, sha256: str, content_type: str, owner: str | None = None) -> Call[UploadPlan]:
    """Ask how to bring a new file, into a folder that *owner* shares if it is not one's own."""
    body = _NewUpload(path=path, size=size, sha256=sha256, content_type=content_type, owner=owner)
    return Call("POST", path_of(_UPLOADS), reads(UploadPlan), body=_json(body))


def resume_upload(ticket: str) -> Call[UploadPlan]:
    """Ask what is missing of an upload."""
    return Call("POST", path_of(_UPLOADS, "resume"), reads(UploadPlan), body=_json(_Ticket(ticket=ticket)))


def complete_upload(ticket: str, parts: Sequence[PartDone]) -> Call[FileView]:
    """Say that all parts are there; the store checks them, which takes a while for large files."""
    body = _json(_Parts(ticket=ticket, parts=list(parts)))
    return Call("POST", path_of(_UPLOADS, "complete"), reads(FileView), body=body, hold=570.0)


def download_url(path: str, *, owner: str | None = None) -> Call[DownloadUrl]:
    """Ask where to GET a file: one's own, or one that *owner* shares."""
    return Call("POST", path_of("v1/downloads"), reads(DownloadUrl), body=_json(_Wanted(path=path, owner=owner)))


def _json(model: Model) -> bytes:
    return model.model_dump_json(exclude_none=True).encode()
