"""SHA-256 of local files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["BLOCK", "blocks", "sha256_of"]

BLOCK = 1 << 18
"""Bytes that are read and sent at a time."""


def blocks(path: Path, *, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
    """Read a piece of a file, block by block; to its end if *size* is none."""
    with path.open("rb") as file:
        file.seek(offset)
        left = size
        while left is None or left > 0:
            block = file.read(BLOCK if left is None else min(BLOCK, left))
            if not block:
                return
            left = None if left is None else left - len(block)
            yield block


def sha256_of(path: Path) -> str:
    """Return the checksum of a file."""
    found = hashlib.sha256()
    for block in blocks(path):
        found.update(block)
    return found.hexdigest()
