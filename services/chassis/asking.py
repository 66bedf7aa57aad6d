"""Equal questions that wait at the same time are asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["AskedOnce"]

_Q = TypeVar("_Q")
_A = TypeVar("_A")


class AskedOnce(Generic[_Q, _A]):
    """Asks for all who wait for the answer to one question. Nobody gets an answer that was asked for before they came.

    So whoever comes while the question is on its way waits for the next one, with all others who came meanwhile.
    """

    def __init__(self, ask: Callable[[_Q], Awaitable[_A]]) -> None:
        self._ask = ask
        self._next: dict[bytes, asyncio.Future[_A]] = {}
        """Those that nobody has asked yet."""
        self._asking: dict[bytes, asyncio.Task[None]] = {}

    async def __call__(self, question: _Q, words: bytes) -> _A:
        """Return the answer, or raise what speaks against it; questions of the same *words* are equal."""
        answer = self._next.get(words)
        if answer is None:
            answer = self._next[words] = asyncio.get_running_loop().create_future()
            if words not in self._asking:
                self._asking[words] = asyncio.create_task(self._ask_until_answered(question, words))
        # Whoever gives up waiting takes nobody else's answer along.
        return await asyncio.shield(answer)

    async def _ask_until_answered(self, question: _Q, words: bytes) -> None:
        try:
            while words in self._next:
                await asyncio.sleep(0)  # those who come at this moment get here first
                await self._answer(question, self._next.pop(words))
        finally:
            del self._asking[words]

    async def _answer(self, question: _Q, answer: asyncio.Future[_A]) -> None:
        try:
            answer.set_result(await self._ask(question))
        except Exception as error:  # noqa: BLE001 (whoever waits for it raises it)
            answer.set_exception(error)
            answer.exception()  # those who wait may all have gone
        except BaseException:
            answer.cancel()
            raise
