"""Messages that come at once are handled in one transaction, which costs little more than that of a single one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from contracts.envelope import Context

from .unit import UnitOfWork, Work

__all__ = ["Part", "Together"]

_MOST = 16
"""Messages in one transaction. More would save little: who was answered goes on while the next are handled."""

_T = TypeVar("_T")
_R = TypeVar("_R")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Part(Generic[_T]):
    """One message's part of a transaction: what it asks for, and the work that speaks in its context."""

    work: Work
    item: _T


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[_T, _R]):
    message_id: str
    context: Context
    item: _T
    done: asyncio.Future[_R | None]


class Together(Generic[_T, _R]):
    """Has *act* do all that waits while another transaction is open; each message is handled once, as if it were alone.

    What one message breaks is undone for all of its transaction, and each is tried by itself: nobody is refused
    for a neighbour.
    """

    def __init__(
        self, unit: UnitOfWork, act: Callable[[Sequence[Part[_T]]], Awaitable[Sequence[_R]]], *, most: int = _MOST
    ) -> None:
        self._unit = unit
        self._act = act
        self._most = most
        self._waiting: deque[_Waiting[_T, _R]] = deque()
        self._acting: asyncio.Task[None] | None = None

    async def do(self, message_id: str, context: Context, item: _T) -> _R | None:
        """Return what came of *item*, or None if its message was handled before. Raises what `act` raises for it."""
        done: asyncio.Future[_R | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(message_id, context, item, done))
        if self._acting is None:
            self._acting = asyncio.create_task(self._act_on_all())
        return await done

    async def _act_on_all(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # those whose message has come already get here first
                some = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                await self._act_on(some)
        finally:
            self._acting = None

    async def _act_on(self, some: Sequence[_Waiting[_T, _R]]) -> None:
        # A sender may have gone, its message be delivered twice at once: each id has one part.
        by_id = {waiting.message_id: waiting for waiting in some}
        try:
            found = await self._in_one(by_id)
        except Exception as error:  # noqa: BLE001 (whoever waits for it raises it)
            if len(by_id) == 1:
                self._fail(some, error)
                return
            log.info("together.apart", messages=len(by_id), error=repr(error))
            for waiting in by_id.values():
                await self._act_on([one for one in some if one.message_id == waiting.message_id])
            return
        except BaseException as error:
            self._fail(some, error)
            raise
        for waiting in some:
            if not waiting.done.done():
                waiting.done.set_result(found.get(waiting.message_id) if by_id[waiting.message_id] is waiting else None)

    @staticmethod
    def _fail(some: Sequence[_Waiting[_T, _R]], error: BaseException) -> None:
        for waiting in some:
            if not waiting.done.done():
                if isinstance(error, Exception):
                    waiting.done.set_exception(error)
                else:
                    waiting.done.cancel()

    async def _in_one(self, by_id: dict[str, _Waiting[_T, _R]]) -> dict[str, _R]:
        first = next(iter(by_id.values()))
        async with self._unit.begin(first.context) as work:
            fresh = await self._unit.know(work, list(by_id))
            parts = [Part(work.speaking_in(by_id[name].context), by_id[name].item) for name in fresh]
            results = await self._act(parts) if parts else []
            return dict(zip(fresh, results, strict=True))
