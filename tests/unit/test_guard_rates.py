"""Rate limits: who asks too often waits, and nobody else does."""

from __future__ import annotations

import time

import pytest

from services.gateway.guard import rates
from services.gateway.guard.addresses import group_of, is_here
from services.gateway.guard.rates import RateLimiter
from services.gateway.guard.settings import Rate


class Ticks:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_all_may_come_at_once_and_then_one_by_one() -> None:
    ticks = Ticks()
    limiter = RateLimiter("principal", Rate(requests=10, seconds=5), ticks=ticks)
    assert [limiter.hit("ada").left for _ in range(10)] == list(range(9, -1, -1))
    refused = limiter.hit("ada")
    assert refused.left == 0
    assert refused.retry_after == pytest.approx(0.5)
    assert not limiter.hit("bob").retry_after
    ticks.now += 0.49
    assert limiter.hit("ada").retry_after == pytest.approx(0.01)
    ticks.now += 0.02
    assert not limiter.hit("ada").retry_after
    assert limiter.hit("ada").retry_after
    ticks.now += 1000
    assert limiter.hit("ada").left == 9


def test_whoever_keeps_the_pace_is_never_refused() -> None:
    ticks = Ticks()
    limiter = RateLimiter("principal", Rate(requests=7, seconds=3), ticks=ticks)
    for _ in range(1000):
        assert not limiter.hit("ada").retry_after
        ticks.now += 3 / 7


def test_a_standing_is_said_in_the_words_of_the_draft() -> None:
    standing = RateLimiter("principal", Rate(requests=10, seconds=5), ticks=Ticks()).hit("ada")
    assert standing.policy == b'"principal";q=10;w=5'
    assert standing.state == b'"principal";r=9;t=1'


def test_very_many_who_ask_take_no_more_room_than_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST_KNOWN", 100)
    limiter = RateLimiter("address", Rate(requests=1), ticks=Ticks())
    for number in range(1000):
        limiter.hit(f"192.0.2.{number}")
    assert limiter.hit("192.0.2.999").retry_after
    assert not limiter.hit("192.0.2.0").retry_after


def test_counting_costs_less_than_ten_microseconds() -> None:
    limiter = RateLimiter("principal", Rate(requests=1_000_000))
    began = time.thread_time()
    for number in range(10_000):
        limiter.hit(f"user-{number % 100}")
    assert time.thread_time() - began < 0.1


@pytest.mark.parametrize(
    ("address", "group", "here"),
    [
        ("192.0.2.7", "192.0.2.7", False),
        ("::ffff:192.0.2.7", "192.0.2.7", False),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", False),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64", False),
        ("127.8.8.8", "127.8.8.8", True),
        ("::1", "::/64", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("", "", True),
        ("testclient", "testclient", False),
    ],
)
def test_an_address_stands_for_its_customer(address: str, group: str, here: bool) -> None:
    assert (group_of(address), is_here(address)) == (group, here)
