"""How far what is counted in memory can be believed: not after a failure, nor where others were at work meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.unit import Work

__all__ = ["Standing"]


class Standing:
    """Knows the transactions that are open, and whether anything was in doubt since the last count."""

    def __init__(self) -> None:
        self._doubts = 1
        self._settled = 0
        self._open: set[AsyncConnection] = set()
        self._ended = 0
        self.is_exact = True
        """Whether nobody else was at work during the last count."""

    @property
    def is_in_doubt(self) -> bool:
        """Say whether there was a doubt since the last count, or during it."""
        return self._settled != self._doubts

    def doubt(self) -> None:
        """Note that what is in memory may not be what is in the tables."""
        self._doubts += 1

    def join(self, work: Work) -> None:
        """Note that a transaction takes part, until it ends."""
        connection = work.connection
        if connection in self._open:
            return
        self._open.add(connection)

        def leave() -> None:
            self._open.discard(connection)
            self._ended += 1

        work.on_end.add(leave)

    @contextmanager
    def counting(self, connection: AsyncConnection) -> Iterator[None]:
        """Count inside: doubts from before are settled, those that come meanwhile are not."""
        doubts, ended, is_alone = self._doubts, self._ended, self._is_alone(connection)
        yield
        self._settled = doubts
        self.is_exact = is_alone and self._ended == ended and self._is_alone(connection)

    def _is_alone(self, connection: AsyncConnection) -> bool:
        return self._open <= {connection}
