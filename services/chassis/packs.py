"""Messages that go the same way at the same moment travel as one, a line each: NATS and both ends work per message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["BREAK", "NOT_DONE", "Pack", "fitting", "numbered"]

NOT_DONE = b""
"""Said by whoever leaves it to others, and by NATS where nobody hears."""

BREAK = b"\n"
"""Between two messages: JSON that we write has none inside."""

_MOST = 16
"""Messages that travel together: as many as are handled in one transaction."""
_LARGEST = 256 * 1024
"""Bytes of messages that travel together; a larger one goes alone."""


@dataclass(slots=True)
class Pack:
    """Messages that will go, or have gone, together, and those who wait for their answers."""

    payloads: list[bytes] = field(default_factory=list)
    waiting: list[asyncio.Future[bytes]] = field(default_factory=list)
    size: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nothing more comes along."""

    @property
    def is_full(self) -> bool:
        """Say whether no other may come along, however small."""
        return len(self.payloads) >= _MOST

    def has_room(self, payload: bytes) -> bool:
        """Say whether one more may come along."""
        return not self.is_full and self.size + len(payload) <= _LARGEST

    def add(self, payload: bytes) -> asyncio.Future[bytes]:
        """Take one along; returns where its answer will be."""
        got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.payloads.append(payload)
        self.waiting.append(got)
        self.size += len(payload) + len(BREAK)
        return got

    def answer(self, raw: bytes) -> None:
        """Hand out what came: the answer to a single message as it is, those to several by their numbers."""
        if len(self.waiting) == 1:
            _give(self.waiting[0], raw)
        elif raw == NOT_DONE:
            self.give_up()
        else:
            for line in raw.split(BREAK):
                number, _, one = line.partition(b" ")
                _give(self.waiting[int(number)], one)

    def give_up(self) -> None:
        """Tell all who still wait that it was not done."""
        for got in self.waiting:
            _give(got, NOT_DONE)


def _give(got: asyncio.Future[bytes], raw: bytes) -> None:
    if not got.done():
        got.set_result(raw)


def numbered(number: int, raw: bytes) -> bytes:
    """Return the answer to one of several messages as it is said."""
    return b"%d %b" % (number, raw)


def fitting(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Give messages of *most* bytes at most that say all *lines*, none of which is longer than that."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        if some and size + len(line) > most:
            yield BREAK.join(some)
            some, size = [], 0
        some.append(line)
        size += len(line) + len(BREAK)
    if some:
        yield BREAK.join(some)
