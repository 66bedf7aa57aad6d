"""Checksums of bytes that go by: of the whole, and of each part."""

from __future__ import annotations

import hashlib

from .objects import Content

__all__ = ["Digests"]


class Digests:
    """Hashes what it is shown, once for all and once for its part."""

    def __init__(self, part_size: int | None = None) -> None:
        self._whole = hashlib.sha256()
        self._part = hashlib.sha256()
        self._part_size = part_size
        self._size = 0
        self._parts: list[str] = []

    def update(self, piece: bytes) -> None:
        """Go on."""
        self._whole.update(piece)
        if self._part_size is None:
            self._size += len(piece)
            return
        view = memoryview(piece)
        while view:
            room = self._part_size - self._size % self._part_size
            self._part.update(view[:room])
            self._size += len(view[:room])
            if len(view) >= room:
                self._end_part()
            view = view[room:]

    def content(self) -> Content:
        """Return what it was."""
        if self._part_size is not None and (self._size % self._part_size or not self._size):
            self._end_part()
        return Content(self._size, self._whole.hexdigest(), tuple(self._parts))

    def _end_part(self) -> None:
        self._parts.append(self._part.hexdigest())
        self._part = hashlib.sha256()
