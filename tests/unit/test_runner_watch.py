"""When runs are looked at: early, and while nothing is to be seen yet, often."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any, cast

import pytest

from contracts.model import now
from services.scheduler.pilot.census import Member, Proc
from services.scheduler.pilot.sampling import EARLY, sample, watch
from services.scheduler.runner.gpus import NoGpus
from services.scheduler.runner.sampling import Meter

_LOOKS = 12


class _Census:
    """A container's: what looks after it is there at once, its program only at the seventh look."""

    def __init__(self) -> None:
        self.looks = 0

    def reap(self) -> None:
        """Bury nobody."""

    def members(self, _run: str, *, max_age: float) -> list[Member]:
        assert max_age <= 0.25
        self.looks += 1
        keeper = Proc(pid=os.getpid(), parent=1, session=1, started=1, cpu=1.0, rss=40_000_000)
        program = Proc(pid=2**30, parent=1, session=1, started=2, cpu=0.5, rss=1_000_000)
        return [Member(keeper, inside=True)] + [Member(program, inside=False)] * (self.looks >= 7)


async def test_a_container_that_takes_its_time_is_looked_for_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > _LOOKS:
            raise asyncio.CancelledError

    monkeypatch.setattr("services.scheduler.pilot.sampling.asyncio.sleep", sleep)
    meter = Meter(started_at=now(), gpus=NoGpus(), indices=[], boxed=True)
    assert meter.so_far().memory_peak is None
    with suppress(asyncio.CancelledError):
        await watch(census=cast(Any, _Census()), run="a.1", meter=meter, every=1.0, memory=None, end=lambda *_: None)
    assert pauses[:_LOOKS] == [*EARLY, *[0.2] * 4, *[1.0] * 5]
    used = meter.so_far()
    assert (used.memory_peak, used.cpu_seconds) == (1_000_000, 0.5)


class _Table:
    """A look at the table of processes, as it was a moment ago."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def members(self, _run: str, **_: object) -> list[Member]:
        procs = [Proc(pid=pid, parent=1, session=1, started=1, cpu=0.0, rss=10**12) for pid in self._pids]
        return [Member(proc, inside=True) for proc in procs]


@pytest.mark.parametrize(("pids", "says"), [((2**30, 2**30 + 1), ""), ((2**30, os.getpid()), "it held ")])
def test_who_has_ended_since_the_look_holds_nothing(pids: tuple[int, ...], says: str) -> None:
    meter = Meter(started_at=now(), gpus=NoGpus(), indices=[], boxed=False)
    told = sample(census=cast(Any, _Table(*pids)), run="a.1", meter=meter, memory=1000)
    assert told[: len("it held ")] == says
    # It is what they hold, not what the table said.
    assert sample(census=cast(Any, _Table(*pids)), run="a.1", meter=meter, memory=2**36) == ""
