"""A command that is refused stays refused, whatever the stream hears of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from nats.aio.msg import Msg

from contracts.commands import CancelWorkload, RetryWorkload
from contracts.envelope import Context, Envelope
from contracts.errors import ConflictError
from contracts.events import Event
from contracts.ids import workload_id
from contracts.principals import Principal
from contracts.subjects import subject_of
from services.chassis.bus import Delivery
from services.chassis.refusing import Refusals
from services.chassis.settings import NatsSettings
from tests.support.chassis import INBOX, OUTBOX, Answer, cancel, open_bus, open_stand, read_events, serve, settled
from tests.support.databases import url_in

__all__: list[str] = []

ANN = Context.start("user:ann")
_NEW = workload_id()


async def test_a_refused_command_is_answered_ended_and_announced_once(nats: NatsSettings) -> None:
    async def handler(_command: CancelWorkload, _delivery: Delivery) -> Answer:
        raise ConflictError("it has ended already")

    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        await serve(scheduler, handler)
        with pytest.raises(ConflictError, match="it has ended already"):
            await gateway.order(cancel(), ANN, wait=5, answer=Answer)
        await settled(scheduler)
        (refused,) = await read_events(scheduler)
        assert refused.type == "org.shunter.command.refused.v1"
        assert refused.data["code"] == "conflict"
        assert refused.data["command"] == "workload.cancel"
        assert refused.owner == "ann"


async def test_what_was_refused_is_not_obeyed_when_its_message_comes_again(
    nats: NatsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream does not hear of the refusal; meanwhile what spoke against the command is over."""
    asked, told = 0, 0
    end = Msg.term

    async def handler(_command: CancelWorkload, _delivery: Delivery) -> Answer:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ConflictError("it runs")
        return Answer(said="obeyed")

    async def end_at_the_second_try(message: Msg) -> None:
        nonlocal told
        told += 1
        await (message.nak() if told == 1 else end(message))

    monkeypatch.setattr(Msg, "term", end_at_the_second_try)
    async with (
        open_stand(url_in(tmp_path)) as stand,
        open_bus(nats, "scheduler") as scheduler,
        open_bus(nats, "gateway") as gateway,
    ):
        scheduler.keep_refusals(stand.unit)
        await stand.relay.start({"events": scheduler.send_row})
        await serve(scheduler, handler)
        with pytest.raises(ConflictError, match="it runs"):
            await gateway.order(cancel(), ANN, wait=5, answer=Answer)
        await settled(scheduler)
        await stand.relay.stop()
        assert (asked, told) == (1, 2)
        assert await stand.count(INBOX) == 1
        (refused,) = await read_events(scheduler)
        assert (refused.data["code"], refused.data["detail"]) == ("conflict", "it runs")


async def test_what_was_asked_before_a_repeat_of_it_was_refused_is_refused_when_it_comes_late(
    nats: NatsSettings, tmp_path: Path
) -> None:
    """Somebody had no answer, asks again with the same key, and is refused; then the first message turns up."""
    before, repeat, later = (_retry() for _ in range(3))
    obeyed: list[str] = []

    async def handler(_command: RetryWorkload, delivery: Delivery) -> Answer:
        if delivery.message_id == repeat.id:
            raise ConflictError("it runs")
        obeyed.append(delivery.message_id)
        return Answer(said="obeyed")

    async with open_stand(url_in(tmp_path)) as stand, open_bus(nats, "scheduler") as bus:
        bus.keep_refusals(stand.unit)
        await stand.relay.start({"events": bus.send_row})
        await serve(bus, handler, kind=RetryWorkload)
        for envelope in (repeat, before, later):
            await bus.publish("commands.scheduler.workload.retry.x", envelope.to_bytes(), envelope.id)
            await settled(bus)
        await stand.relay.stop()
        assert obeyed == [later.id]
        told = [(event.data["command_id"], event.data["detail"]) for event in await read_events(bus)]
        assert told == [(repeat.id, "it runs"), (before.id, f"{_NEW} was asked for again since, and refused")]


def _retry() -> Envelope:
    command = RetryWorkload(workload_id=workload_id(), principal=Principal(subject="ann"), new_id=_NEW)
    return Envelope.wrap(command, ANN, source="gateway", subject=command.target_id)


@pytest.mark.parametrize("done", [False, True], ids=["nothing was done", "its handler was done with it"])
async def test_a_refusal_is_announced_once_however_often_it_is_kept(tmp_path: Path, *, done: bool) -> None:
    published: list[str] = []

    async def announce(event: Event, _context: Context, *, event_id: str) -> None:
        published.append(f"{subject_of(event)} as {event_id}")

    async with open_stand(url_in(tmp_path)) as stand:
        refusals = Refusals(service="scheduler", announce=announce)
        refusals.unit = stand.unit
        if done:
            async with stand.unit.handling("m-1", ANN):
                pass
        for _ in range(2):
            await refusals.keep(Delivery("m-1", ANN, "commands.scheduler.workload.cancel.x"), ConflictError("no"))
        assert await stand.count(OUTBOX) == (not done)
        assert set(published) == ({"events.command.refused.m-1 as refused-m-1"} if done else set())
