"""A log that lost its store, or its end, is told again from the outbox: all of it, once, in its order (F7)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from contracts.envelope import Context, Envelope
from services.chassis.bus import Bus
from services.chassis.refill import Refill
from services.chassis.streams import declare_streams
from tests.support.chassis import OUTBOX, NatsProcess, Stand, open_bus, open_stand, read_events, requested
from tests.support.databases import url_in

CONTEXT = Context.start("user:ann")


async def _say(stand: Stand, count: int) -> None:
    for revision in range(count):
        async with stand.unit.begin(CONTEXT) as work:
            work.send(requested("job-" + "0" * 32, revision=revision + 1))


async def _until_logged(bus: Bus, count: int) -> list[int]:
    async with asyncio.timeout(30):
        while True:
            found = await read_events(bus)
            if len(found) >= count:
                return [event.data["revision"] for event in found]
            await asyncio.sleep(0.05)


async def _wait_for_marks(stand: Stand) -> None:
    async with asyncio.timeout(20):
        while await stand.relay.count_unsent():  # noqa: ASYNC110 (only the table knows)
            await asyncio.sleep(0.05)


def _refill(stand: Stand, bus: Bus) -> Refill:
    return Refill(engine=stand.engine, outbox=OUTBOX, turn=stand.turn, bus=bus, announce=stand.relay.announce)


async def _healed(bus: Bus, refill: Refill) -> int:
    """Look as a service does that has been reconnected."""
    async with asyncio.timeout(20):
        while True:
            try:
                await declare_streams(bus.jetstream)
                return await refill.look()
            except Exception:  # noqa: BLE001 (NATS is coming up)
                await asyncio.sleep(0.1)


@pytest.mark.own_stores("it kills its NATS")
@pytest.mark.parametrize("lost", ["everything", "the end"])
async def test_what_the_log_lost_is_said_again_once_and_in_order(tmp_path: Path, lost: str) -> None:
    server = NatsProcess(tmp_path)
    await server.start()
    try:
        async with (
            open_bus(server.settings, "scheduler") as bus,
            open_stand(url_in(tmp_path)) as stand,
        ):
            refill = _refill(stand, bus)
            await stand.relay.start({"events": bus.send_row})
            await _say(stand, 5)
            await _until_logged(bus, 5)
            await _wait_for_marks(stand)
            assert await refill.look() == 0
            await stand.relay.stop()
            if lost == "the end":
                for sequence in (4, 5):
                    await bus.jetstream.delete_msg("EVENTS", sequence)
            await server.kill()
            if lost == "everything":
                shutil.rmtree(tmp_path / "nats" / "jetstream")
            await server.start()
            assert await _healed(bus, refill) == (5 if lost == "everything" else 2)
        async with (
            open_bus(server.settings, "scheduler") as bus,
            open_stand(url_in(tmp_path)) as again,
        ):
            await again.relay.start({"events": bus.send_row})
            await _wait_for_marks(again)
            await again.relay.stop()
            found = await _present(bus)
        assert found == [1, 2, 3, 4, 5]
    finally:
        await server.kill()


@pytest.mark.own_stores("it kills its NATS")
async def test_a_relay_that_is_at_work_says_at_once_what_the_log_lost(tmp_path: Path) -> None:
    server = NatsProcess(tmp_path)
    await server.start()
    try:
        async with (
            open_bus(server.settings, "scheduler") as bus,
            open_stand(url_in(tmp_path)) as stand,
        ):
            await stand.relay.start({"events": bus.send_row})
            await _say(stand, 5)
            await _wait_for_marks(stand)
            await server.kill()
            shutil.rmtree(tmp_path / "nats" / "jetstream")
            await server.start()
            assert await _healed(bus, _refill(stand, bus)) == 5
            async with asyncio.timeout(5):
                assert await _until_logged(bus, 5) == [1, 2, 3, 4, 5]
            await stand.relay.stop()
            assert await stand.relay.count_unsent() == 0
    finally:
        await server.kill()


async def _present(bus: Bus) -> list[int]:
    last = (await bus.jetstream.stream_info("EVENTS")).state.last_seq
    found = []
    for number in range(1, last + 1):
        try:
            message = await bus.jetstream.get_msg("EVENTS", number, direct=True)
        except NotFoundError:
            continue
        found.append(int(Envelope.from_bytes(message.data or b"").data["revision"]))
    return found
