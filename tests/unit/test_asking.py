"""Equal questions are asked once for all who wait, and nobody gets an answer from before they came."""

from __future__ import annotations

import asyncio

import pytest

from contracts.errors import NotFoundError
from services.chassis.asking import AskedOnce


class _World:
    """Changes all the time; an answer is what it was when it was asked."""

    def __init__(self) -> None:
        self.state = 0
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, question: str) -> int:
        self.asked.append(question)
        seen = self.state
        await self.may_answer.wait()
        if question == "nothing":
            raise NotFoundError("there is none")
        return seen


async def test_those_who_ask_at_once_share_a_question_and_others_have_their_own() -> None:
    world = _World()
    asked: AskedOnce[str, int] = AskedOnce(world.ask)
    assert await asyncio.gather(*(asked("same", b"same") for _ in range(20)), asked("other", b"other")) == [0] * 21
    assert sorted(world.asked) == ["other", "same"]
    assert await asked("same", b"same") == 0
    assert world.asked.count("same") == 2


async def test_who_comes_while_it_is_asked_waits_for_the_next_answer() -> None:
    world = _World()
    asked: AskedOnce[str, int] = AskedOnce(world.ask)
    world.may_answer.clear()
    first = asyncio.create_task(asked("same", b"same"))
    await asyncio.sleep(0.01)
    world.state = 1
    later = [asyncio.create_task(asked("same", b"same")) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert world.asked == ["same"]
    world.may_answer.set()
    assert await first == 0
    assert await asyncio.gather(*later) == [1] * 5
    assert world.asked == ["same", "same"]


async def test_all_hear_what_speaks_against_it_and_who_leaves_takes_nothing_along() -> None:
    world = _World()
    asked: AskedOnce[str, int] = AskedOnce(world.ask)
    found = await asyncio.gather(*(asked("nothing", b"nothing") for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [NotFoundError] * 3
    world.may_answer.clear()
    leaver, stayer = (asyncio.create_task(asked("same", b"same")) for _ in range(2))
    await asyncio.sleep(0.01)
    leaver.cancel()
    world.may_answer.set()
    assert await stayer == 0
    with pytest.raises(asyncio.CancelledError):
        await leaver
