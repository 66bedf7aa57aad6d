"""Calls about folders as a whole."""

from __future__ import annotations

import httpx

from contracts.model import Model
from contracts.transfers import FormUpload

from .call import Call, params_of, path_of, reads

__all__ = ["open_form", "zip_folder"]


class _NewForm(Model):
    folder: str
    owner: str | None = None
    most: int | None = None
    expires: float


def zip_folder(folder: str = "", *, owner: str | None = None) -> Call[bytes]:
    """Fetch a folder as a zip; all files without a name."""
    path = path_of("v1/zip", folder.strip("/")) if folder.strip("/") else path_of("v1/zip")
    return Call("GET", path, _content, params_of(owner=owner))


def _content(response: httpx.Response) -> bytes:
    return response.content


def open_form(
    folder: str = "", *, owner: str | None = None, most: int | None = None, expires: float = 600.0
) -> Call[FormUpload]:
    """Ask for a form by which a browser brings files into a folder."""
    body = _NewForm(folder=folder, owner=owner, most=most, expires=expires)
    return Call(
        "POST", path_of("v1/uploads/form"), reads(FormUpload), body=body.model_dump_json(exclude_none=True).encode()
    )
