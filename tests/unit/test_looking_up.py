"""What many look up at the same time is looked up together, and never given to whoever came later."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.chassis.gathering import Gathered


class _Table:
    """Holds squares; a look-up waits until it is let go."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.came, self.go = asyncio.Event(), asyncio.Event()
        self.fault: Exception | None = None

    async def look(self, keys: Sequence[int]) -> dict[int, int]:
        self.asked.append(list(keys))
        self.came.set()
        await self.go.wait()
        if self.fault:
            raise self.fault
        return {key: key * key for key in keys if key < 100}


async def test_those_who_come_together_share_a_look_up_and_each_gets_their_own() -> None:
    table = _Table()
    table.go.set()
    find = Gathered(table.look)
    assert await asyncio.gather(*(find(key) for key in (1, 2, 3, 2, 100))) == [1, 4, 9, 4, None]
    assert table.asked == [[1, 2, 3, 100]]


async def test_whoever_comes_while_it_is_looked_up_has_it_looked_up_again() -> None:
    table = _Table()
    find = Gathered(table.look)
    first = asyncio.create_task(find(1))
    await table.came.wait()
    table.came.clear()
    later = asyncio.create_task(find(1))
    await table.came.wait()
    assert table.asked == [[1], [1]]
    table.go.set()
    assert [await first, await later] == [1, 1]


async def test_a_great_many_are_looked_up_a_few_at_a_time() -> None:
    table = _Table()
    table.go.set()
    find = Gathered(table.look)
    assert await asyncio.gather(*(find(key) for key in range(100))) == [key * key for key in range(100)]
    assert [len(keys) for keys in table.asked] == [32, 32, 32, 4]


async def test_who_gives_up_takes_nobody_along() -> None:
    table = _Table()
    find = Gathered(table.look)
    gone, stays = asyncio.create_task(find(2)), asyncio.create_task(find(2))
    await table.came.wait()
    gone.cancel()
    table.go.set()
    assert await stays == 4
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_what_goes_wrong_is_told_to_all_and_the_next_are_served() -> None:
    table = _Table()
    table.go.set()
    table.fault = OSError("the disk is gone")
    find = Gathered(table.look)
    told = await asyncio.gather(find(1), find(2), return_exceptions=True)
    assert [str(one) for one in told] == ["the disk is gone"] * 2
    table.fault = None
    assert await find(3) == 9
