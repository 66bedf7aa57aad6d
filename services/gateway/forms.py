"""Files that come in a form, `multipart/form-data`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request

from contracts.errors import InvalidError, TooLargeError
from services.chassis.multipart import read_form

from .spool import Spool, spooled

__all__ = ["FormFile", "InvalidFormError", "form_files"]

_MOST_FILES = 1000


class InvalidFormError(InvalidError):
    """The body is no form."""


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form."""

    name: str
    """What the client calls it; not checked."""
    content_type: str
    spool: Spool

    @property
    def size(self) -> int:
        """Return how many bytes it is."""
        return self.spool.size

    def pieces(self) -> AsyncIterator[bytes]:
        """Give the bytes."""
        return self.spool.pieces()


@asynccontextmanager
async def form_files(request: Request, field: str, most: int) -> AsyncIterator[list[FormFile]]:
    """Read a form; its files of one field, *most* bytes together, are kept while the block runs.

    Raises `InvalidFormError` for a body that is no form, and `TooLargeError`, before a byte is read where it can.
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise InvalidFormError("the body must be multipart/form-data")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise TooLargeError(f"a form has at most {most} bytes")
    files: list[FormFile] = []
    async with AsyncExitStack() as kept:
        async for part in read_form(kind, request.stream()):
            if part.name != field or not part.filename:
                continue
            if len(files) == _MOST_FILES:
                raise TooLargeError(f"a form has at most {_MOST_FILES} files")
            left = most - sum(file.size for file in files)
            spool = await kept.enter_async_context(spooled(part.pieces, left))
            files.append(FormFile(part.filename, part.content_type, spool))
        yield files
