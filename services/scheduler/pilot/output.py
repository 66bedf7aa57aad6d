"""Publishes a run's output while it grows: byte for byte, in order, each byte once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

__all__ = ["Keep", "LiveOutput", "cut", "last_words"]

_MOST = 1000
"""Characters of what was printed that are kept with the record of a job."""

_CHUNK = 256 * 1024
"""Bytes of a message at most."""
_FASTEST, _SLOWEST = 0.02, 0.25
"""Seconds between looks at the files, while they grow and while they do not."""

Keep = Callable[[str, bytes, str, dict[str, str]], Awaitable[None]]
"""Publishes a piece of a stream with its headers until it is kept; the mark tells it from the other pieces."""


def cut(data: bytes, *, full: bool) -> int:
    """Return how much of *data* to publish: up to the last line end, else to the last whole character.

    *full* says that more follows at once; then a line end far from the end is not worth a message of its own.
    """
    line = data.rfind(b"\n") + 1
    if line and (not full or line > len(data) // 2):
        return line
    # A character in UTF-8 has at most three bytes after its first; what is no UTF-8 is cut anywhere.
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(data) - back if length > back else len(data)
    return len(data)


def last_words(files: Iterable[Path], most: int = _MOST) -> str:
    """Return the end of what was printed: of several files each has its share, and what one leaves is the others'.

    A program that fails says why in one of them, and may write much into another one after that.
    """
    texts = [text for text in map(_end_of, files) if text]
    if sum(map(len, texts)) > most:
        share = most // len(texts)
        left = most - sum(min(len(text), share) for text in texts)
        texts = [text if len(text) <= share else text[-(share + left) :] for text in texts]
    return "".join(text if text.endswith("\n") or text is texts[-1] else f"{text}\n" for text in texts)[-most:]


def _end_of(path: Path) -> str:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (at the end of every job; a Path costs more)
            size = os.fstat(file.fileno()).st_size
            raw = os.pread(file.fileno(), 4 * _MOST, max(0, size - 4 * _MOST)) if size else b""
    except OSError:
        return ""
    return raw.decode("utf-8", "replace").replace("\0", "")[-_MOST:]


class _Tail:
    """One output file and how far it was published."""

    def __init__(self, path: Path, stream: str, cap: int) -> None:
        self.path = path
        self.stream = stream
        self.offset = 0
        self._cap = cap

    def is_longer(self) -> bool:
        try:
            return min(os.stat(self.path).st_size, self._cap) > self.offset  # noqa: PTH116 (every few milliseconds)
        except OSError:
            return False

    def read(self, *, final: bool) -> bytes:
        size = min(_CHUNK, self._cap - self.offset)
        with self.path.open("rb") as file:
            data = os.pread(file.fileno(), size, self.offset)
        full = len(data) == _CHUNK
        if not data or (final and not full):
            return data
        return data[: cut(data, full=full)]


class LiveOutput:
    """Follows the output files of a run."""

    def __init__(self, keep: Keep, files: Mapping[str, Path], cap: int) -> None:
        self._keep = keep
        self._tails = tuple(_Tail(path, stream, cap) for stream, path in files.items())
        self._told = ""
        self._ended: asyncio.Future[None] | None = None
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to publish."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._following = loop.create_task(self._follow(self._ended))

    async def finish(self) -> None:
        """Publish the rest and say that it is all."""
        if self._ended and not self._ended.done():
            self._ended.set_result(None)
        if self._following:
            await self._following

    def abandon(self) -> None:
        """Stop."""
        if self._following:
            self._following.cancel()

    def news(self) -> str:
        """Return the end of what was printed, unless that was returned before."""
        found = last_words(tail.path for tail in self._tails)
        if found == self._told:
            return ""
        self._told = found
        return found

    async def _follow(self, ended: asyncio.Future[None]) -> None:
        pause = _FASTEST
        while not ended.done():
            grew = await self._publish(final=False)
            pause = _FASTEST if grew else min(pause * 1.5, _SLOWEST)
            await asyncio.wait({ended}, timeout=pause)
        await self._publish(final=True)
        for tail in self._tails:
            if tail.offset:
                await self._say(tail, b"", {"Shunter-End": "1"}, "end")

    async def _publish(self, *, final: bool) -> bool:
        grew = False
        for tail in self._tails:
            while tail.is_longer():
                data = tail.read(final=final)
                if not data:
                    break
                await self._say(tail, data, {}, str(tail.offset))
                tail.offset += len(data)
                grew = True
                if not final and len(data) < _CHUNK // 2:
                    # The rest of a line is likely to come within the next few milliseconds.
                    break
        return grew

    async def _say(self, tail: _Tail, data: bytes, headers: dict[str, str], mark: str) -> None:
        # One at a time: pieces in flight together could change places when the connection breaks.
        await self._keep(tail.stream, data, mark, {"Shunter-Offset": str(tail.offset), **headers})
