"""The `Range` header, for one range of bytes (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from starlette.exceptions import HTTPException

__all__ = ["Span", "read_range"]

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` up to but not with `end`, of `size` in all."""

    start: int
    end: int
    size: int
    partial: bool

    @property
    def length(self) -> int:
        """Return how many bytes it is."""
        return self.end - self.start

    @property
    def status(self) -> int:
        """Return what is said with it."""
        return 206 if self.partial else 200

    def beginning_at(self, first: int) -> Span:
        """Leave out what is gone: bytes before *first*. Raises 416 where nothing is left."""
        if self.start >= first:
            return self
        if self.end <= first:
            raise HTTPException(416, "these bytes are gone", headers={"Content-Range": f"bytes */{self.size}"})
        return replace(self, start=first)

    def to_headers(self) -> dict[str, str]:
        """Return the headers that describe it."""
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(self.length)}
        if self.partial:
            headers["Content-Range"] = f"bytes {self.start}-{self.end - 1}/{self.size}"
        return headers

    def to_range(self) -> str:
        """Say it to another server."""
        return f"bytes={self.start}-{self.end - 1}"


def read_range(header: str | None, size: int) -> Span:
    """Return what is wanted of *size* bytes; all of it if the header is absent, or of a form that may be passed over.

    Raises 416 where nothing of the range is there.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if not found or found.groups() == ("", ""):
        return Span(0, size, size, partial=False)
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return Span(0, size, size, partial=False)
    if start >= end:
        raise HTTPException(416, "there are no such bytes", headers={"Content-Range": f"bytes */{size}"})
    return Span(start, end, size, partial=True)
