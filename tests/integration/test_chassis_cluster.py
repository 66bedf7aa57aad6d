"""One of three NATS servers dies, or leaders change hands: everything arrives, nothing twice, nobody is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.commands import CancelWorkload
from contracts.envelope import Context, Envelope
from contracts.errors import UnavailableError
from contracts.queries import Health
from contracts.subjects import STREAMS, subject_of
from services.chassis.bus import Bus, Delivery
from services.chassis.reader import StreamReader
from tests.support.chassis import INBOX, Stand, cancel, left, open_bus, open_stand, requested, until
from tests.support.databases import url_in
from tests.support.nats_cluster import NatsCluster, run_nats_cluster

pytestmark = pytest.mark.own_stores("it kills one of its three NATS")

ANN = Context.start("user:ann")
_COMMANDS = 60


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    async with run_nats_cluster(tmp_path) as found:
        yield found


class _Site:
    """A gateway, a scheduler and a reader of the log, each connected to another server."""

    def __init__(self, stand: Stand, gateway: Bus) -> None:
        self.stand = stand
        self.gateway = gateway
        self.heard: list[str] = []

    async def handle(self, command: CancelWorkload, delivery: Delivery) -> Health:
        async with self.stand.unit.handling(delivery.message_id, delivery.context) as work:
            if work:
                work.send(requested(command.workload_id))
        return Health(service="scheduler", ready=True)

    async def follow(self, _raw: bytes, delivery: Delivery) -> None:
        if delivery.message_id not in self.heard:
            self.heard.append(delivery.message_id)

    async def order(self) -> None:
        """Send a command, again while nobody keeps it, as a client does with its key."""
        command = cancel()
        envelope = Envelope.wrap(command, ANN, source="gateway", subject=command.target_id)
        while True:
            try:
                await self.gateway.publish(subject_of(command), envelope.to_bytes(), envelope.id)
            except UnavailableError:
                await asyncio.sleep(0.1)
            else:
                return

    async def settle(self) -> None:
        """Wait until each command was handled and told of, once."""
        await until(lambda: len(self.heard) >= _COMMANDS, within=30)
        assert len(self.heard) == _COMMANDS == await self.stand.count(INBOX)
        async with asyncio.timeout(30):
            while await left(self.gateway):  # noqa: ASYNC110 (only NATS knows)
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _open(cluster: NatsCluster, folder: Path) -> AsyncIterator[_Site]:
    async with (
        open_stand(url_in(folder)) as stand,
        open_bus(cluster.settings(0), "gateway") as gateway,
        open_bus(cluster.settings(1), "scheduler") as scheduler,
        open_bus(cluster.settings(2), "accounting") as accounting,
    ):
        site = _Site(stand, gateway)
        scheduler.handle_commands({CancelWorkload: site.handle})
        accounting.follow("EVENTS", ["events.workload.>"], "accounting-events", site.follow)
        await stand.relay.start({"events": scheduler.send_row})
        await scheduler.start()
        await accounting.start()
        yield site
        await stand.relay.stop()


@pytest.mark.parametrize("place", ["COMMANDS", "EVENTS", "COMMANDS.scheduler-commands", "EVENTS.accounting-events"])
async def test_a_server_that_dies_takes_nothing_with_it(cluster: NatsCluster, tmp_path: Path, place: str) -> None:
    """A request for messages that lay there is made again before long: nobody says that it is lost."""
    async with _open(cluster, tmp_path) as site:
        await site.order()
        orders = [asyncio.create_task(site.order()) for _ in range(_COMMANDS // 2)]
        await cluster.kill(dead := await cluster.leader(place))
        async with asyncio.timeout(30):
            await asyncio.gather(*orders, *(site.order() for _ in range(_COMMANDS - 1 - len(orders))))
        await site.settle()
        assert await cluster.leader(place, but=dead)


async def test_leaders_that_change_hands_under_work_lose_and_double_nothing(
    cluster: NatsCluster, tmp_path: Path
) -> None:
    places = ["COMMANDS", "EVENTS", "COMMANDS.scheduler-commands", "EVENTS.accounting-events"]
    async with _open(cluster, tmp_path) as site, cluster.connected() as client:
        for place in places:
            led = await cluster.leader(place)
            orders = [asyncio.create_task(site.order()) for _ in range(_COMMANDS // len(places))]
            kind = "CONSUMER" if "." in place else "STREAM"
            await client.request(f"$JS.API.{kind}.LEADER.STEPDOWN.{place}", b"", timeout=5)
            async with asyncio.timeout(30):
                await asyncio.gather(*orders)
                assert await cluster.leader(place, but=led)
        await site.settle()


async def test_a_service_that_starts_while_a_server_is_away_waits_for_it(cluster: NatsCluster) -> None:
    """NATS may refuse streams of three meanwhile, or take them for later: the start ends when the third is there."""
    missing = cluster.ports[2]
    await cluster.kill(missing)
    starting = asyncio.create_task(_start_and_look(cluster))
    await asyncio.sleep(0.3)
    await cluster.start(missing)
    async with asyncio.timeout(30):
        assert await starting == len(STREAMS)


async def test_a_place_in_the_log_that_was_just_made_can_be_read(cluster: NatsCluster) -> None:
    """Each reader makes a consumer; the server that it asks next may not have heard of it yet."""
    async with open_bus(cluster.settings(0), "gateway") as one, open_bus(cluster.settings(1), "accounting") as other:
        for bus in (one, other) * 50:
            async with StreamReader(bus, "EVENTS", ["events.>"], start=1) as reader:
                assert await reader.read(wait=0) == []


async def _start_and_look(cluster: NatsCluster) -> int:
    async with open_bus(cluster.settings(0), "gateway") as bus:
        found = await bus.jetstream.streams_info()
        return len([stream for stream in found if stream.config.num_replicas == len(cluster.ports)])
