"""What was refused is told as events; a flood of requests makes no flood of events."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.events import Event, RequestRefused
from contracts.model import now
from services.gateway.guard.refusals import Refusal, Refusals


class Log:
    """Takes events, unless it is away."""

    def __init__(self) -> None:
        self.events: list[RequestRefused] = []
        self.actors: list[str] = []
        self.ids: list[str | None] = []
        self.is_away = False
        self.now = now()

    async def announce(self, event: Event, context: Context, *, event_id: str | None = None) -> None:
        if self.is_away:
            raise UnavailableError("away")
        assert isinstance(event, RequestRefused)
        self.events.append(event)
        self.actors.append(context.actor)
        self.ids.append(event_id)

    def clock(self) -> datetime:
        return self.now

    def refusals(self) -> Refusals:
        return Refusals(self.announce, clock=self.clock)


def _refusal(
    principal: str | None = None, address: str = "192.0.2.7", route: str = "/v1/jobs", status: int = 401
) -> Refusal:
    return Refusal(principal, address, "GET", route, status, "unauthenticated")


async def test_requests_of_one_kind_are_one_event_with_their_number() -> None:
    log = Log()
    refusals = log.refusals()
    began = log.now
    for _ in range(5000):
        refusals.note(_refusal())
    log.now += timedelta(seconds=1)
    refusals.note(_refusal())
    refusals.note(_refusal("ada", status=403))
    await refusals.tell()
    await refusals.tell()
    first, second = log.events
    assert (first.count, first.principal, first.address) == (5001, None, "192.0.2.7")
    assert (first.first_at, first.last_at) == (began, log.now)
    assert (second.count, second.principal, second.status) == (1, "ada", 403)
    assert log.actors == ["service:gateway", "user:ada"]


async def test_a_flood_from_everywhere_is_a_few_events() -> None:
    log = Log()
    refusals = log.refusals()
    for number in range(10_000):
        refusals.note(_refusal(address=f"2001:db8::{number:x}"))
    await refusals.tell()
    assert len(log.events) == 51
    assert sum(event.count for event in log.events) == 10_000
    assert log.events[-1].address == ""


async def test_nothing_is_lost_and_room_is_kept_while_nobody_can_be_told() -> None:
    log = Log()
    refusals = log.refusals()
    log.is_away = True
    for turn in range(5):
        for number in range(100):
            refusals.note(_refusal(address=f"192.0.{turn}.{number}"))
        await refusals.tell()
    log.is_away = False
    await refusals.tell()
    assert sum(event.count for event in log.events) == 500
    assert len(log.events) <= 51


async def test_what_was_being_said_when_we_stop_is_said_again_under_the_same_name() -> None:
    log = Log()
    seen: list[str | None] = []

    async def cut_off(event: Event, context: Context, *, event_id: str | None = None) -> None:
        seen.append(event_id)
        if len(seen) == 1:
            raise KeyboardInterrupt

    refusals = Refusals(cut_off, clock=log.clock)
    refusals.note(_refusal())
    with pytest.raises(KeyboardInterrupt):
        await refusals.tell()
    await refusals.tell()
    assert len(seen) == 2
    assert seen[0] == seen[1] is not None
