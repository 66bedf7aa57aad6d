"""Files that come in a form, `multipart/form-data`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.requests import Request

from contracts.errors import InvalidError, TooLargeError

__all__ = ["FormFile", "InvalidFormError", "form_files"]

_PIECE = 256 * 1024
_MOST_FILES = 1000


class InvalidFormError(InvalidError):
    """The body is no form."""


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form."""

    name: str
    """What the client calls it; not checked."""
    size: int
    content_type: str
    upload: UploadFile

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the bytes."""
        while piece := await self.upload.read(_PIECE):
            yield piece


@asynccontextmanager
async def form_files(request: Request, field: str, most: int) -> AsyncIterator[list[FormFile]]:
    """Read a form of at most *most* bytes; its files of one field are kept while the block runs, none if there is none.

    Raises `InvalidFormError` for a body that is no form, and `TooLargeError` before a byte of it is read.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidFormError("the body must be multipart/form-data")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise TooLargeError(f"a form has at most {most} bytes")
    async with request.form(max_files=_MOST_FILES, max_fields=_MOST_FILES) as form:
        yield [
            FormFile(item.filename or "", item.size or 0, item.content_type or "application/octet-stream", item)
            for item in form.getlist(field)
            if isinstance(item, UploadFile)
        ]
