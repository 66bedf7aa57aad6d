"""Bytes that do not say how many they are: they wait on our disk until they have all come."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

import anyio.to_thread

from contracts.errors import TooLargeError, UnavailableError

__all__ = ["Spool", "spooled"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_AGAIN = 60.0

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
                await anyio.to_thread.run_sync(_write, file, full)
        _write(file, bytes(waiting))
        yield Spool(size, file)


def _write(file: IO[bytes], data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        if error.errno in _FULL:
            raise UnavailableError("the gateway's disk is full", retry_after=_AGAIN) from error
        raise
