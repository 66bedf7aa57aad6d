"""NATS is killed and comes back: everything arrives, nothing twice, everybody goes on by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.errors import FlushTimeoutError
from pydantic import SecretStr

from contracts.commands import CancelWorkload
from contracts.envelope import Context
from contracts.errors import UnauthenticatedError, UnavailableError
from contracts.ids import workload_id
from contracts.queries import CheckHealth, Health
from services.chassis.bus import Bus, Delivery
from services.chassis.settings import NatsSettings
from tests.support.chassis import INBOX, NatsProcess, cancel, open_bus, open_stand, read_events, requested, send, until
from tests.support.databases import url_in

ANN = Context.start("user:ann")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsProcess]:
    process = NatsProcess(tmp_path)
    await process.start()
    yield process
    await process.kill()


@pytest.mark.own_stores("it kills its NATS")
async def test_after_a_kill_of_nats_everything_arrives_once_and_soon(server: NatsProcess, tmp_path: Path) -> None:
    targets = [workload_id() for _ in range(5)]
    heard: dict[str, tuple[str, int]] = {}

    async with (
        open_stand(url_in(tmp_path)) as stand,
        open_bus(server.settings, "scheduler") as scheduler,
        open_bus(server.settings, "accounting") as accounting,
        open_bus(server.settings, "gateway") as gateway,
    ):

        async def handler(command: CancelWorkload, delivery: Delivery) -> Health:
            async with stand.unit.handling(delivery.message_id, delivery.context) as work:
                if work:
                    work.send(requested(command.workload_id, revision=int(command.message)))
            return Health(service="scheduler", ready=True)

        async def follow(_raw: bytes, delivery: Delivery) -> None:
            assert delivery.envelope
            # An acknowledgement that was lost with the server brings a message again; it is known by its id.
            said = (delivery.envelope.data["workload_id"], delivery.envelope.data["revision"])
            heard.setdefault(delivery.message_id, said)

        scheduler.handle_commands({CancelWorkload: handler})
        accounting.follow("EVENTS", ["events.workload.>"], "accounting-events", follow)
        await stand.relay.start({"events": scheduler.send_row})
        await scheduler.start()
        await accounting.start()

        async def change(revision: int) -> None:
            for target in targets:
                async with stand.unit.begin(ANN) as work:
                    work.send(requested(target, revision=revision))

        await change(1)
        await until(lambda: len(heard) == 5)
        await server.kill()
        # The relay has rows now, and everybody waits.
        await change(2)
        await change(3)
        await asyncio.sleep(0.3)
        await server.start()
        began = time.monotonic()
        for target in targets:
            await send(gateway, cancel(target, message="4"))
        await until(lambda: len(heard) == 20, within=20)
        # Not only after the end of a request that the old server had in its memory.
        assert time.monotonic() - began < 20
        assert await gateway.order(cancel(targets[0], message="5"), ANN, wait=5, answer=Health)
        await until(lambda: len(heard) == 21)
        await stand.relay.stop()
        for target in targets:
            mine = [revision for about, revision in heard.values() if about == target]
            assert mine == [1, 2, 3, 4, 5][: len(mine)]
            assert len(mine) >= 4
        assert len(await read_events(scheduler)) == 21
        assert await stand.count(INBOX) == 6


async def test_a_start_outlasts_a_nats_that_answers_late(nats: NatsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_bus(nats, "scheduler") as scheduler:
        client, calls = scheduler.connection, 0
        flush = client.flush

        async def late() -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise FlushTimeoutError
            await flush()

        monkeypatch.setattr(client, "flush", late)
        await scheduler.start()
        assert calls == 3


@pytest.mark.own_stores("it kills its NATS")
async def test_questions_are_answered_again_after_a_kill_of_nats(server: NatsProcess) -> None:
    async def look(_query: CheckHealth) -> Health:
        return Health(service="scheduler", ready=True)

    async with open_bus(server.settings, "scheduler") as scheduler, open_bus(server.settings, "gateway") as gateway:
        scheduler.answer_queries({CheckHealth: look})
        await scheduler.start()
        await server.kill()
        with pytest.raises(UnavailableError):
            await gateway.ask(CheckHealth(), service="scheduler", timeout=0.2)
        with pytest.raises(UnavailableError, match="is lost"):
            await gateway.check()
        await server.start()
        async with asyncio.timeout(5):
            while True:
                try:
                    answer = await gateway.ask(CheckHealth(), service="scheduler", timeout=0.5)
                    break
                except UnavailableError:
                    await asyncio.sleep(0.05)
        assert answer.ready


@pytest.mark.own_stores("it kills its NATS")
async def test_a_service_stops_in_order_while_nats_is_away(server: NatsProcess) -> None:
    async def handler(_command: CancelWorkload, _delivery: Delivery) -> Health:
        return Health(service="scheduler", ready=True)

    async with open_bus(server.settings, "scheduler") as bus:
        bus.handle_commands({CancelWorkload: handler})
        await bus.start()
        await server.kill()
        await until(lambda: not bus.connection.is_connected)
        async with asyncio.timeout(5):
            await bus.stop()


@pytest.mark.own_stores("it kills its NATS")
async def test_a_consumer_that_somebody_removed_is_made_again(server: NatsProcess) -> None:
    heard: list[int] = []

    async def follow(_raw: bytes, delivery: Delivery) -> None:
        heard.append(delivery.sequence)

    async with open_bus(server.settings, "accounting") as bus:
        bus.follow("EVENTS", ["events.>"], "accounting-events", follow)
        await bus.start()
        await bus.announce(requested(), ANN)
        await until(lambda: heard == [1])
        await bus.jetstream.delete_consumer("EVENTS", "accounting-events")
        await bus.announce(requested(), ANN)
        # It has forgotten what was heard: whoever listens knows by the ids.
        await until(lambda: heard == [1, 1, 2])


@pytest.mark.own_stores("its NATS wants a password")
async def test_a_wrong_password_is_said_at_once_and_not_retried_for_ever(tmp_path: Path) -> None:
    server = NatsProcess(tmp_path, user="shunter", password="right")
    await server.start()
    try:
        wrong = server.settings.model_copy(update={"user": "shunter", "password": SecretStr("wrong")})
        with pytest.raises(UnauthenticatedError, match="does not let user 'shunter' in") as raised:
            async with asyncio.timeout(10):
                await Bus(wrong, "gateway").connect()
        assert "wrong" not in str(raised.value)
        right = wrong.model_copy(update={"password": SecretStr("right")})
        async with open_bus(right, "gateway") as bus:
            await bus.check()
    finally:
        await server.kill()


async def test_a_service_gives_up_when_nats_stays_away_at_its_start() -> None:
    nowhere = NatsSettings(url="nats://127.0.0.1:9", connect_within=0.3)
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s"):
        async with asyncio.timeout(10):
            await Bus(nowhere, "gateway").connect()


@pytest.mark.own_stores("it kills its NATS")
async def test_a_service_that_starts_before_nats_waits_for_it(tmp_path: Path) -> None:
    server = NatsProcess(tmp_path)
    bus = Bus(server.settings, "gateway")
    connecting = asyncio.create_task(bus.connect())
    await asyncio.sleep(0.3)
    await server.start()
    try:
        async with asyncio.timeout(10):
            await connecting
        await bus.check()
    finally:
        await bus.stop()
        await server.kill()
