"""What can wait gives way to a crowd, and not for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.chassis import crowd as module
from services.chassis.crowd import Crowd


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPAN", 0.02)
    monkeypatch.setattr(module, "_PAUSE", 0.01)


@contextmanager
def _joined(crowd: Crowd, many: int) -> Iterator[None]:
    for _ in range(many):
        crowd.come()
    yield
    for _ in range(many):
        crowd.go()


async def _waited(crowd: Crowd) -> float:
    began = time.monotonic()
    await crowd.give_way()
    return time.monotonic() - began


async def test_nobody_waits_for_a_few_however_long_they_stay() -> None:
    crowd = Crowd()
    with _joined(crowd, 7):
        await asyncio.sleep(0.2)
        assert await _waited(crowd) < 0.01


async def test_many_who_are_answered_at_once_are_no_crowd() -> None:
    crowd = Crowd()
    for _ in range(1000):
        crowd.come()
        crowd.go()
    assert await _waited(crowd) < 0.01


async def test_a_crowd_is_waited_for_until_it_is_thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOKS", 10_000)
    crowd = Crowd()
    with _joined(crowd, 32):
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(crowd.give_way())
        await asyncio.sleep(0.1)
        assert not waiting.done()
    # Those whose answers came together may be back in a moment.
    assert not waiting.done()
    async with asyncio.timeout(5):
        await waiting


async def test_a_crowd_that_stays_slows_down_and_does_not_stop() -> None:
    crowd = Crowd()
    with _joined(crowd, 32):
        await asyncio.sleep(0.1)
        assert await _waited(crowd) >= module._LOOKS * module._PAUSE
