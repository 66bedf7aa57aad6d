"""What is awaited by nats-py takes no cancel along."""

from __future__ import annotations

import asyncio

import pytest

from services.scheduler.pilot.patience import by_itself


async def test_a_cancel_that_comes_with_the_answer_is_heeded() -> None:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(by_itself(asyncio.wait_for(answer, 10)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answer.set_result(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_answer_and_an_error_come_through() -> None:
    async def fail() -> None:
        raise ConnectionError

    assert await by_itself(asyncio.sleep(0, 1)) == 1
    with pytest.raises(ConnectionError):
        await by_itself(fail())
