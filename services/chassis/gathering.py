"""What is looked up by many at the same time is looked up together, which costs little more than one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

__all__ = ["Gathered"]

_MOST = 32
"""Things that are looked up together: more would hold up everybody else."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class Gathered(Generic[_K, _V]):
    """Looks up things by their keys. Nobody gets what was looked up before they came."""

    def __init__(self, look: Callable[[Sequence[_K]], Awaitable[Mapping[_K, _V]]]) -> None:
        self._look = look
        self._next: dict[_K, asyncio.Future[_V | None]] = {}
        """Those that nobody has looked for yet."""
        self._looking: set[asyncio.Task[None]] = set()

    async def __call__(self, key: _K) -> _V | None:
        """Return what there is under a key, or raise why nobody can say; others may have been given the same object."""
        found = self._next.get(key)
        if found is None:
            if not self._next:
                self._begin()
            found = self._next[key] = asyncio.get_running_loop().create_future()
        # Whoever gives up waiting takes nobody else's answer along.
        return await asyncio.shield(found)

    def _begin(self) -> None:
        task = asyncio.create_task(self._look_up())
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look_up(self) -> None:
        await asyncio.sleep(0)  # those who come at this moment get here first
        wanted = {key: self._next.pop(key) for key in list(islice(self._next, _MOST))}
        if self._next:
            self._begin()
        try:
            there = await self._look(list(wanted))
        except Exception as error:  # noqa: BLE001 (whoever waits for it raises it)
            for found in wanted.values():
                found.set_exception(error)
                found.exception()  # those who wait may all have gone
        except BaseException:
            for found in wanted.values():
                found.cancel()
            raise
        else:
            for key, found in wanted.items():
                found.set_result(there.get(key))
