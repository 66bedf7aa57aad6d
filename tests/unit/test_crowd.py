"""What can wait gives way to a crowd, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from services.chassis import crowd as module
from services.chassis.crowd import Crowd

_TURN = 0.005


@pytest_asyncio.fixture(autouse=True)
async def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have time pass only while all sleep: a machine that stalls takes none of it."""
    loop: Any = asyncio.get_running_loop()
    moment, select = loop.time(), loop._selector.select

    def skip(timeout: float | None = None) -> Any:
        nonlocal moment
        moment += timeout or 0.0
        return select(0)

    monkeypatch.setattr(loop._selector, "select", skip)
    monkeypatch.setattr(loop, "time", lambda: moment)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: moment))
    monkeypatch.setattr(module, "_SPAN", 0.1)
    monkeypatch.setattr(module, "_PAUSE", 0.01)
    monkeypatch.setattr(module, "_BURST", 0.3)


@asynccontextmanager
async def _asking(crowd: Crowd, many: int, turn: float = _TURN) -> AsyncIterator[None]:
    """Have *many* ask together, again as soon as all have been answered."""

    async def ask() -> None:
        while True:
            for _ in range(many):
                crowd.come()
            for _ in range(many):
                crowd.go()
            await asyncio.sleep(turn)

    task = asyncio.create_task(ask())
    await asyncio.sleep(0.1)
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _waited(crowd: Crowd) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await crowd.give_way()
    return loop.time() - began


async def test_nobody_waits_for_a_few_however_often_they_ask() -> None:
    crowd = Crowd()
    async with _asking(crowd, 4):
        assert await _waited(crowd) < 0.01


async def test_nobody_waits_for_those_who_have_asked_long_ago() -> None:
    crowd = Crowd()
    for _ in range(64):
        crowd.come()
    await asyncio.sleep(0.3)
    assert await _waited(crowd) < 0.01


async def test_many_who_are_answered_at_once_are_no_crowd() -> None:
    crowd = Crowd()
    for _ in range(1000):
        crowd.come()
        crowd.go()
    assert await _waited(crowd) < 0.01


async def test_a_crowd_is_waited_for_until_it_is_thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BURST", 60.0)
    crowd = Crowd()
    async with _asking(crowd, 32):
        waiting = asyncio.create_task(crowd.give_way())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    # Those whose answers came together may be back in a moment.
    assert not waiting.done()
    async with asyncio.timeout(5):
        await waiting


async def test_a_burst_goes_first_and_a_crowd_that_stays_slows_down_and_does_not_stop() -> None:
    crowd = Crowd()
    async with _asking(crowd, 32):
        first = await _waited(crowd)
        then = await _waited(crowd)
    assert first >= module._BURST - 0.15
    assert module._LOOKS * module._PAUSE - 0.001 <= then < first + 0.2  # sums of floats


async def test_a_crowd_that_went_and_comes_again_is_a_burst_again() -> None:
    crowd = Crowd()
    async with _asking(crowd, 32):
        await _waited(crowd)
    await crowd.give_way()
    async with _asking(crowd, 32):
        assert await _waited(crowd) >= module._BURST - 0.15
