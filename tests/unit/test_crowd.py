"""What can wait gives way to a crowd, and not for ever."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

import pytest

from services.scheduler import crowd as module
from services.scheduler.crowd import Crowd


async def test_nobody_waits_for_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GIVES_WAY", 60.0)
    crowd = Crowd()
    with ExitStack() as few:
        for _ in range(module._MANY - 1):
            few.enter_context(crowd.joining())
        async with asyncio.timeout(5):
            await crowd.give_way()


async def test_a_crowd_is_waited_for_until_it_is_thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GIVES_WAY", 60.0)
    crowd = Crowd()
    with ExitStack() as many:
        for _ in range(module._MANY):
            many.enter_context(crowd.joining())
        waiting = asyncio.create_task(crowd.give_way())
        await asyncio.sleep(0.02)
        assert not waiting.done()
    async with asyncio.timeout(5):
        await waiting


async def test_a_crowd_that_stays_slows_down_and_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GIVES_WAY", 0.05)
    crowd, began = Crowd(), time.monotonic()
    with ExitStack() as many:
        for _ in range(module._MANY):
            many.enter_context(crowd.joining())
        await crowd.give_way()
    assert time.monotonic() - began >= 0.05
