"""Calls about folders and the names of files."""

from __future__ import annotations

import httpx

from contracts.files import FolderRecord, Moved
from contracts.model import Model

from .call import Call, params_of, path_of, reads

__all__ = ["get_folder", "make_folder", "move_file"]

_FOLDERS = "v1/folders"


class _NewName(Model):
    path: str
    to: str
    folder: bool
    replace: bool


def get_folder(path: str, *, owner: str | None = None) -> Call[FolderRecord]:
    """Ask what a folder holds: one's own, or one that *owner* shares."""
    return Call("GET", path_of(_FOLDERS, path), reads(FolderRecord), params_of(owner=owner))


def make_folder(path: str) -> Call[bool]:
    """Let there be a folder; false means that the command is kept for later."""
    return Call("PUT", path_of(_FOLDERS, path), _is_done)


def move_file(path: str, to: str, *, folder: bool = False, replace: bool = False) -> Call[Moved | None]:
    """Give a file or a folder another name; none: the command is kept for later."""
    body = _NewName(path=path, to=to, folder=folder, replace=replace).model_dump_json().encode()
    # Sent twice, the second would not find what the first moved.
    return Call("POST", path_of("v1/moves"), _moved, body=body, repeatable=False)


def _moved(response: httpx.Response) -> Moved | None:
    return reads(Moved)(response) if _is_done(response) else None


def _is_done(response: httpx.Response) -> bool:
    return response.status_code != 202
