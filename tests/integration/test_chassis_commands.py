"""Commands and queries on a real server: handled once, answered, refused, tried again, parked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from contracts.commands import CancelWorkload, CompleteUpload
from contracts.envelope import Context
from contracts.errors import InternalError, InvalidError, RefusedError, UnavailableError
from contracts.ids import workload_id
from contracts.principals import Principal
from contracts.queries import CheckHealth, GetWorkload, Health
from services.chassis.bus import CommandHandler, Delivery
from services.chassis.consumer import Consumer
from services.chassis.settings import NatsSettings
from tests.support.chassis import (
    INBOX,
    Answer,
    cancel,
    left,
    open_bus,
    open_stand,
    read_events,
    requested,
    send,
    serve,
    settled,
    until,
)
from tests.support.databases import url_in

ANN = Context.start("user:ann")
QUICK = (0.02,)
"""Pauses between two tries, for a test that does not want to wait."""


async def test_the_answer_of_a_command_arrives(nats: NatsSettings) -> None:
    async def handler(command: CancelWorkload, delivery: Delivery) -> Answer:
        return Answer(said=f"{command.message} by {delivery.context.actor}")

    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        await serve(scheduler, handler)
        answer = await gateway.order(cancel(message="enough"), ANN, wait=5, answer=Answer)
        assert answer == Answer(said="enough by user:ann")
        await settled(scheduler)


async def test_an_order_that_nobody_answers_in_time_is_kept_and_handled_later(nats: NatsSettings) -> None:
    handled = asyncio.Event()

    async def handler(_command: CancelWorkload, _delivery: Delivery) -> Answer:
        handled.set()
        return Answer(said="late")

    async with open_bus(nats, "gateway") as gateway, open_bus(nats, "scheduler") as scheduler:
        assert await gateway.order(cancel(), ANN, wait=0.05, answer=Answer) is None
        assert await gateway.order(cancel(), ANN, wait=0, answer=Answer) is None
        assert await left(gateway) == 2
        await serve(scheduler, handler)
        async with asyncio.timeout(5):
            await handled.wait()
        await settled(scheduler)


async def test_a_redelivered_message_is_handled_once(nats: NatsSettings, tmp_path: Path) -> None:
    tries = 0

    async with open_stand(url_in(tmp_path)) as stand, open_bus(nats, "scheduler") as bus:

        async def handler(_command: CancelWorkload, delivery: Delivery) -> Answer:
            nonlocal tries
            tries += 1
            async with stand.unit.handling(delivery.message_id, delivery.context) as work:
                if work:
                    work.send(requested())
            if tries == 1:
                # It was done, but the stream does not hear of it.
                raise UnavailableError("the connection broke", retry_after=0.02)
            return Answer(said="first" if work else "again")

        await stand.relay.start({"events": bus.send_row})
        await serve(bus, handler)
        await send(bus, cancel())
        await settled(bus)
        await stand.relay.stop()
        assert tries == 2
        assert await stand.count(INBOX) == 1
        assert len(await read_events(bus)) == 1


async def test_what_is_unavailable_is_tried_again_until_it_works(nats: NatsSettings) -> None:
    deliveries: list[int] = []

    async def handler(_command: CancelWorkload, delivery: Delivery) -> Answer:
        deliveries.append(delivery.deliveries)
        if len(deliveries) < 8:
            raise UnavailableError("the database is away", retry_after=0.01)
        return Answer(said="at last")

    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        await serve(scheduler, handler)
        assert await gateway.order(cancel(), ANN, wait=5, answer=Answer) == Answer(said="at last")
        assert deliveries == [1, 2, 3, 4, 5, 6, 7, 8]
        await settled(scheduler)
        assert await read_events(scheduler) == []


async def test_a_message_that_always_fails_is_parked_once_with_an_event(nats: NatsSettings) -> None:
    tries = 0

    async def handler(_command: CancelWorkload, _delivery: Delivery) -> Answer:
        nonlocal tries
        tries += 1
        raise ZeroDivisionError("a bug of ours")

    async with open_bus(nats, "scheduler", pauses=QUICK) as bus:
        await serve(bus, handler)
        command = cancel()
        message_id = await send(bus, command)
        await settled(bus)
        assert tries == 5
        (parked,) = await read_events(bus)
        assert parked.type == "org.shunter.message.parked.v1"
        assert parked.data["message_id"] == message_id
        assert parked.data["error"] == "ZeroDivisionError: a bug of ours"
        assert await left(bus, "PARKED") == 1
        kept = await bus.jetstream.get_last_msg("PARKED", "parked.scheduler.>")
        assert kept.subject == f"parked.scheduler.commands.scheduler.workload.cancel.{command.workload_id}"


@pytest.mark.parametrize(
    ("body", "header"),
    [(b"\xff\x00 no JSON", "m-1"), (b"{}", "two words > *"), (b'{"id": 5}', None)],
    ids=["bytes", "empty", "id"],
)
async def test_what_is_no_envelope_is_refused_at_once(nats: NatsSettings, body: bytes, header: str | None) -> None:
    async def handler(_command: CancelWorkload, _delivery: Delivery) -> Answer:
        raise AssertionError("nobody can handle this")

    async with open_bus(nats, "scheduler", pauses=QUICK) as bus:
        await serve(bus, handler)
        subject = f"commands.scheduler.workload.cancel.{workload_id()}"
        await bus.jetstream.publish(subject, body, headers={"Nats-Msg-Id": header} if header else None)
        await settled(bus)
        (refused,) = await read_events(bus)
        assert refused.data["code"] == "invalid"


async def test_an_unknown_command_is_parked_for_an_operator(nats: NatsSettings) -> None:
    async def handler(_command: CompleteUpload, _delivery: Delivery) -> Answer:
        raise AssertionError("not this one")

    async with open_bus(nats, "scheduler", pauses=QUICK) as bus:
        await serve(bus, handler, kind=CompleteUpload)
        await send(bus, cancel())
        await settled(bus)
        assert [event.type for event in await read_events(bus)] == ["org.shunter.message.parked.v1"]


async def test_a_command_with_a_wrong_field_is_refused_and_the_field_named(nats: NatsSettings) -> None:
    async def handler(_command: CancelWorkload, _delivery: Delivery) -> Answer:
        raise AssertionError("nobody can handle this")

    async with open_bus(nats, "scheduler") as bus, open_bus(nats, "gateway") as gateway:
        await serve(bus, handler)
        wrong = cancel().model_copy(update={"workload_id": "job-1"})
        with pytest.raises(InvalidError) as raised:
            await gateway.order(wrong, ANN, wait=5, answer=Answer)
        assert [error.field for error in raised.value.errors] == ["workload_id"]


async def test_commands_of_one_target_go_in_order_and_others_beside_them(nats: NatsSettings) -> None:
    one, other = workload_id(), workload_id()
    seen: list[tuple[str, str]] = []
    gate = asyncio.Event()

    async def handler(command: CancelWorkload, _delivery: Delivery) -> Answer:
        seen.append(("begin", command.message))
        if command.message == "1":
            await gate.wait()
        seen.append(("end", command.message))
        return Answer(said="")

    async with open_bus(nats, "scheduler") as bus:
        for number in range(1, 5):
            await send(bus, cancel(one, message=str(number)))
        await send(bus, cancel(other, message="other"))
        await serve(bus, handler)
        await until(lambda: ("end", "other") in seen)
        assert [message for what, message in seen if what == "begin"] == ["1", "other"]
        gate.set()
        await settled(bus)
    mine = [(what, message) for what, message in seen if message != "other"]
    assert mine == [(what, str(number)) for number in range(1, 5) for what in ("begin", "end")]


async def test_commands_without_a_target_do_not_wait_for_each_other(nats: NatsSettings) -> None:
    together = 0
    both = asyncio.Event()

    async def handler(_command: CompleteUpload, _delivery: Delivery) -> Answer:
        nonlocal together
        together += 1
        if together == 2:
            both.set()
        async with asyncio.timeout(5):
            await both.wait()
        return Answer(said="stored")

    async with open_bus(nats, "storage") as bus:
        await serve(bus, handler, kind=CompleteUpload)
        orders = [bus.order(CompleteUpload(ticket=str(n)), ANN, wait=5, answer=Answer) for n in range(2)]
        assert await asyncio.gather(*orders) == [Answer(said="stored")] * 2


async def test_a_stop_finishes_what_is_in_hand_and_hands_back_the_rest(nats: NatsSettings) -> None:
    begun: list[str] = []
    finished: list[str] = []

    def handler_of(name: str, pause: float) -> CommandHandler:
        async def handler(command: CancelWorkload, delivery: Delivery) -> Answer:
            assert delivery.deliveries == 1 or name == "second"
            begun.append(command.message)
            await asyncio.sleep(pause)
            finished.append(f"{name} {command.message}")
            return Answer(said="")

        return handler

    async with open_bus(nats, "gateway") as gateway:
        async with open_bus(nats, "scheduler") as first:
            first.handle_commands({CancelWorkload: handler_of("first", 0.5)}, workers=2)
            for number in range(4):
                await send(gateway, cancel(message=str(number)))
            await first.start()
            await until(lambda: len(begun) == 2)
            await first.stop_taking()
            assert sorted(finished) == ["first 0", "first 1"]
        async with open_bus(nats, "scheduler") as second:
            second.handle_commands({CancelWorkload: handler_of("second", 0)})
            await second.start()
            await until(lambda: len(finished) == 4, within=3)
            await settled(gateway)
    assert sorted(finished[2:]) == ["second 2", "second 3"]


async def test_a_long_handler_keeps_its_message_and_a_dead_one_loses_it(nats: NatsSettings) -> None:
    deliveries: list[int] = []

    async def work(message: Msg) -> None:
        deliveries.append(message.metadata.num_delivered)
        await asyncio.sleep(3.0)
        await message.ack()

    def consumer(alive_every: float) -> Consumer:
        return Consumer(
            stream="COMMANDS",
            durable="storage-commands",
            subjects=["commands.storage.>"],
            handle=work,
            workers=2,
            ack_wait=2.0,
            alive_every=alive_every,
        )

    async with open_bus(nats, "storage") as bus:
        dead, living = consumer(alive_every=60), consumer(alive_every=0.1)
        await bus.order(CompleteUpload(ticket="1"), ANN, wait=0, answer=Answer)
        await dead.declare(bus.jetstream)
        await dead.start(bus.connection, bus.jetstream)
        await until(lambda: deliveries == [1])
        await living.declare(bus.jetstream)
        await living.start(bus.connection, bus.jetstream)
        await settled(bus)
        # Whatever came while nobody said that it was at work came again; once somebody did, it did not.
        assert 2 in deliveries
        deliveries.clear()
        await dead.stop()
        await bus.order(CompleteUpload(ticket="2"), ANN, wait=0, answer=Answer)
        await settled(bus)
        assert deliveries == [1]
        await living.stop()


async def test_one_worker_follows_a_stream_in_order_even_over_a_failure(nats: NatsSettings) -> None:
    seen: list[int] = []
    failed = False

    async def follow(_raw: bytes, delivery: Delivery) -> None:
        nonlocal failed
        if delivery.sequence == 3 and not failed:
            failed = True
            raise UnavailableError("the database is away", retry_after=0.02)
        seen.append(delivery.sequence)

    async with open_bus(nats, "accounting") as bus:
        for _ in range(20):
            await bus.announce(requested(), ANN)
        bus.follow("EVENTS", ["events.>"], "accounting-events", follow)
        await bus.start()
        await until(lambda: len(seen) == 20)
    assert seen == list(range(1, 21))


async def test_a_question_is_answered_or_refused_in_the_words_of_the_owner(nats: NatsSettings) -> None:
    async def look(_query: CheckHealth) -> Health:
        return Health(service="scheduler", ready=True)

    async def get(query: GetWorkload) -> Health:
        if query.principal.subject == "ann":
            raise RuntimeError("a bug of ours: password=hunter2")
        raise RefusedError("not for you")

    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        scheduler.answer_queries({CheckHealth: look, GetWorkload: get})
        await scheduler.start()
        assert (await gateway.ask(CheckHealth(), service="scheduler")).ready
        with pytest.raises(InvalidError, match="not for you"):
            await gateway.ask(GetWorkload(principal=Principal(subject="bob"), workload_id=workload_id()))
        with pytest.raises(InternalError) as raised:
            await gateway.ask(GetWorkload(principal=Principal(subject="ann"), workload_id=workload_id()))
        assert "hunter2" not in raised.value.detail
        with pytest.raises(InvalidError, match="workload_id"):
            await gateway.ask(GetWorkload.model_construct(principal=Principal(subject="ann"), workload_id="job-1"))


async def test_a_question_to_nobody_is_unavailable_at_once(nats: NatsSettings) -> None:
    async with open_bus(nats, "gateway") as gateway:
        with pytest.raises(UnavailableError, match="the accounting service does not answer"):
            await gateway.ask(CheckHealth(), service="accounting")
