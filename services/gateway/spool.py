"""Bytes that do not say how many they are: they wait on our disk until they have all come."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

import anyio.to_thread

from contracts.errors import TooLargeError

__all__ = ["Spool", "spooled"]

_PIECE = 256 * 1024

_IN_MEMORY = 2**20
"""What is smaller never touches the disk."""


@dataclass(frozen=True, slots=True)
class Spool:
    """All that came."""

    size: int
    file: IO[bytes]

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the bytes."""
        await anyio.to_thread.run_sync(self.file.seek, 0)
        while piece := await anyio.to_thread.run_sync(self.file.read, _PIECE):
            yield piece


@asynccontextmanager
async def spooled(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[Spool]:
    """Take all bytes, *most* of them, and keep them while the block runs."""
    size, waiting = 0, bytearray()
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise TooLargeError(f"at most {most} bytes are taken this way")
            waiting += chunk
            if len(waiting) >= _IN_MEMORY:  # few large writes: each is a thread's work
                full, waiting = bytes(waiting), bytearray()
                await anyio.to_thread.run_sync(file.write, full)
        file.write(bytes(waiting))
        yield Spool(size, file)
