"""Publishes a run's output while it grows: byte for byte, in order, each byte once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from contracts.holdings import TAIL
from contracts.runs import LogChunk
from contracts.subjects import log_subject

from .link import Link

__all__ = ["LiveOutput", "cut", "last_words"]

_CHUNK = 256 * 1024
"""Bytes of a message at most."""
_FASTEST, _SLOWEST = 0.02, 0.25
"""Seconds between looks at the files, while they grow and while they do not."""


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


def last_words(files: Iterable[Path], most: int = TAIL) -> str:
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
            raw = os.pread(file.fileno(), 4 * TAIL, max(0, size - 4 * TAIL)) if size else b""
    except FileNotFoundError:
        return ""
    return raw.decode(errors="replace").replace("\0", "")[-TAIL:]


class _Tail:
    """One output file and how far it was published."""

    def __init__(self, path: Path, stream: str, cap: int) -> None:
        self.path = path
        self.stream = stream
        self.offset = 0
        self._cap = cap

    def is_longer(self) -> bool:
        """Say whether there is something to publish."""
        try:
            return min(os.stat(self.path).st_size, self._cap) > self.offset  # noqa: PTH116 (every few milliseconds)
        except FileNotFoundError:
            return False

    def read(self, *, final: bool) -> bytes:
        """Return the next piece, empty if there is none yet."""
        size = min(_CHUNK, self._cap - self.offset)
        with self.path.open("rb") as file:
            data = os.pread(file.fileno(), size, self.offset)
        full = len(data) == _CHUNK
        if not data or (final and not full):
            return data
        return data[: cut(data, full=full)]


class LiveOutput:
    """Follows the output files of a run."""

    def __init__(
        self, *, link: Link, workload_id: str, attempt: int, name: str, files: Mapping[str, Path], cap: int
    ) -> None:
        self._link = link
        self._workload_id = workload_id
        self._attempt = attempt
        self._name = name
        self._tails = tuple(_Tail(path, stream, cap) for stream, path in files.items())
        self._told = ""
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, *, resume: bool = False) -> None:
        """Begin to publish; *resume* where an earlier runner stopped."""
        self._task = asyncio.create_task(self._follow(resume=resume))

    async def finish(self) -> None:
        """Publish the rest and say that it is all."""
        self._ended.set()
        if self._task:
            await self._task

    def abandon(self) -> None:
        """Stop; a new runner may resume."""
        if self._task:
            self._task.cancel()

    def news(self) -> str:
        """Return the end of what was printed, unless that was returned before."""
        found = last_words(tail.path for tail in self._tails)
        if found == self._told:
            return ""
        self._told = found
        return found

    async def _follow(self, *, resume: bool) -> None:
        if resume:
            for tail in self._tails:
                tail.offset = await self._link.published(log_subject(self._workload_id, self._attempt, tail.stream))
        pause = _FASTEST
        while not self._ended.is_set():
            grew = await self._publish(final=False)
            pause = _FASTEST if grew else min(pause * 1.5, _SLOWEST)
            try:
                async with asyncio.timeout(pause):
                    await self._ended.wait()
            except TimeoutError:
                pass
        await self._publish(final=True)
        for tail in self._tails:
            if tail.offset:
                await self._say(tail, b"", {LogChunk.END: "1"}, "end")

    async def _publish(self, *, final: bool) -> bool:
        grew = False
        for tail in self._tails:
            while tail.is_longer() and (data := tail.read(final=final)):
                await self._say(tail, data, {}, str(tail.offset))
                tail.offset += len(data)
                grew = True
                if not final and len(data) < _CHUNK // 2:
                    # The rest of a line is likely to come within the next few milliseconds.
                    break
        return grew

    async def _say(self, tail: _Tail, data: bytes, headers: dict[str, str], mark: str) -> None:
        # One at a time: pieces in flight together could change places when the connection breaks.
        await self._link.keep(
            log_subject(self._workload_id, self._attempt, tail.stream),
            data,
            f"{self._name}-{tail.stream}-{mark}",
            {LogChunk.OFFSET: str(tail.offset), **headers},
        )
