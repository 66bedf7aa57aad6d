"""Waits for something until it is said that there is no time for it any more, and so that this is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

__all__ = ["Patience", "by_itself", "unless"]

_T = TypeVar("_T")


class Patience:
    """Endless, until somebody hurries."""

    def __init__(self) -> None:
        self._left: float | None = None
        self._task: asyncio.Future[Any] | None = None
        self._is_cut = False

    def hurry(self, seconds: float) -> None:
        """Give what is waited for, or will be, so many seconds."""
        self._left = seconds
        if self._task:
            asyncio.get_running_loop().call_later(seconds, self._cut)

    async def wait(self, call: Awaitable[_T]) -> _T | None:
        """Return what comes of it, or None if it was cut short."""
        self._task = asyncio.ensure_future(call)
        if self._left is not None:
            self.hurry(self._left)
        try:
            return await self._task  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            if self._is_cut:
                return None
            raise

    def _cut(self) -> None:
        if self._task and not self._task.done():
            self._is_cut = True
            self._task.cancel()


async def unless(ending: asyncio.Event, call: Awaitable[Any]) -> None:
    """Await something; when *ending* is set before, a coroutine is canceled and a task left alone."""
    task = asyncio.ensure_future(call)
    told = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        told.cancel()
        if task is not call and not task.done():
            task.cancel()
            await asyncio.wait({task})


async def by_itself(call: Awaitable[_T]) -> _T:
    """Await something as a task of its own, so that no cancel of ours is lost in it.

    Before Python 3.12 `wait_for`, by which nats-py waits, loses one that comes while what it awaits arrives.
    """
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait({task})
        return task.result()
    finally:
        task.cancel()
