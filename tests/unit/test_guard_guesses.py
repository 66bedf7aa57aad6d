"""Guessing is slow, then refused, and only for whoever guesses."""

from __future__ import annotations

import asyncio

import pytest

from contracts.errors import TooManyRequestsError, UnauthenticatedError
from services.gateway.guard.guesses import Guesses
from services.gateway.guard.settings import GuessSettings


class Stand:
    """What guards, its clock, and how long it had people wait."""

    def __init__(self, **settings: float) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.looked = 0
        self.guesses = Guesses(GuessSettings.model_validate(settings), ticks=lambda: self.now, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def password(self, address: str = "192.0.2.7", user: str = "ada", *, right: bool = False) -> str:
        try:
            async with self.guesses.of_password(address, user):
                self.looked += 1
                await asyncio.sleep(0)
                _check(right=right)
        except UnauthenticatedError:
            return "wrong"
        except TooManyRequestsError as error:
            return "refused" if error.retry_after else "refused for ever"
        return "right"

    async def token(self, address: str = "192.0.2.7", *, right: bool = False) -> str:
        try:
            async with self.guesses.of_token(address):
                _check(right=right)
        except UnauthenticatedError:
            return "wrong"
        except TooManyRequestsError:
            return "refused"
        return "right"


def _check(*, right: bool) -> None:
    if not right:
        raise UnauthenticatedError("no")


async def test_each_failure_is_answered_later_and_then_nothing_is_looked_at() -> None:
    stand = Stand(free=3, of_user=8, slowest=2)
    assert [await stand.password() for _ in range(8)] == ["wrong"] * 8
    assert stand.slept == [0, 0, 0, 0.25, 0.5, 1, 2, 2]
    assert await stand.password(right=True) == "refused"
    assert stand.looked == 8


async def test_a_thousand_at_once_are_no_more_than_one_by_one() -> None:
    stand = Stand(of_user=8)
    found = await asyncio.gather(*(stand.password() for _ in range(1000)))
    assert found.count("wrong") == stand.looked == 8
    assert found.count("refused") == 992


async def test_an_attacker_does_not_lock_out_the_owner() -> None:
    stand = Stand(of_user=3)
    for _ in range(10):
        await stand.password("203.0.113.66")
    assert await stand.password("203.0.113.66", right=True) == "refused"
    assert await stand.password("192.0.2.7", right=True) == "right"
    assert await stand.password("203.0.113.66", "bob", right=True) == "right"


async def test_one_address_does_not_try_one_password_on_everybody() -> None:
    stand = Stand(of_user=3, of_address=20)
    found = [await stand.password(user=f"user-{number}") for number in range(30)]
    assert found == ["wrong"] * 20 + ["refused"] * 10
    assert await stand.password(user="somebody", right=True) == "refused"


async def test_an_own_account_buys_no_further_guesses_at_others() -> None:
    stand = Stand(of_user=100, of_address=20)
    looked = 0
    for number in range(40):
        await stand.password(user="mallory", right=True)
        looked += await stand.password(user=f"user-{number}") == "wrong"
    assert looked == 20


async def test_the_right_password_forgives_and_time_does_too() -> None:
    stand = Stand(free=1, of_user=3, window=900)
    await stand.password()
    await stand.password()
    assert await stand.password(right=True) == "right"
    assert [await stand.password() for _ in range(4)] == ["wrong", "wrong", "wrong", "refused"]
    stand.now += 899
    assert await stand.password(right=True) == "refused"
    stand.now += 2
    assert await stand.password(right=True) == "right"


async def test_what_breaks_while_a_password_is_checked_is_no_failure() -> None:
    stand = Stand(of_user=3)
    for _ in range(10):
        with pytest.raises(OSError, match="away"):
            async with stand.guesses.of_password("192.0.2.7", "ada"):
                raise OSError("away")
    assert await stand.password(right=True) == "right"


async def test_bad_tokens_are_slowed_and_good_ones_are_always_taken() -> None:
    stand = Stand(free=2, of_address=5)
    assert [await stand.token() for _ in range(7)] == ["wrong"] * 5 + ["refused"] * 2
    assert stand.slept == [0, 0, 0.25, 0.5, 1.0]
    assert await stand.token(right=True) == "right"
    assert await stand.token("198.51.100.1") == "wrong"


async def test_the_networks_of_one_customer_are_one() -> None:
    stand = Stand(of_user=3)
    found = [await stand.password(f"2001:db8::{number}") for number in range(5)]
    assert found == ["wrong"] * 3 + ["refused"] * 2
