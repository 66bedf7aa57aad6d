"""Submits that are waited for go straight to the service; what is not done there comes by the stream, and once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import BaseModel

from contracts.commands import SubmitWorkload
from contracts.envelope import Context
from contracts.errors import ConflictError, UnavailableError
from contracts.ids import workload_id
from contracts.principals import Principal
from contracts.spec import JobSpec
from services.chassis.bus import Bus, Delivery
from services.chassis.settings import NatsSettings
from tests.support.chassis import NatsProcess, left, open_bus, read_events

ANN = Context.start("user:ann")


class _Answer(BaseModel):
    said: str


def _submit() -> SubmitWorkload:
    return SubmitWorkload(
        workload_id=workload_id(), principal=Principal(subject="ann"), spec=JobSpec(argv=["true"]), request_hash=""
    )


class _Service:
    """Takes submits; what it does with the first ones is said beforehand."""

    def __init__(self, *first: Exception | float) -> None:
        self._first = list(first)
        self.came: list[tuple[str, int]] = []
        """The id of each message, and its place in the stream: 0 is none."""

    async def submit(self, _command: SubmitWorkload, delivery: Delivery) -> _Answer:
        self.came.append((delivery.message_id, delivery.sequence))
        if self._first:
            does = self._first.pop(0)
            if isinstance(does, Exception):
                raise does
            await asyncio.sleep(does)
        return _Answer(said="stream" if delivery.sequence else "direct")

    async def serve(self, bus: Bus) -> None:
        bus.handle_commands({SubmitWorkload: self.submit})
        await bus.start()


async def _settled(bus: Bus) -> None:
    async with asyncio.timeout(10):
        while await left(bus):  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.01)


async def test_it_is_done_at_once_and_the_stream_never_sees_it(nats: NatsSettings) -> None:
    service = _Service()
    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        await service.serve(scheduler)
        answers = await asyncio.gather(*(gateway.order(_submit(), ANN, wait=5, answer=_Answer) for _ in range(100)))
        assert {answer.said for answer in answers} == {"direct"}
        assert len(set(service.came)) == 100
        stream = await gateway.jetstream.stream_info("COMMANDS")
        assert stream.state.last_seq == 0


async def test_who_does_not_wait_has_it_kept(nats: NatsSettings) -> None:
    service = _Service()
    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        assert await gateway.order(_submit(), ANN, wait=0, answer=_Answer) is None
        assert await left(gateway) == 1
        await service.serve(scheduler)
        await _settled(scheduler)
        assert [place for _, place in service.came] == [1]


async def test_where_nobody_hears_it_is_kept_at_once(nats: NatsSettings) -> None:
    service = _Service()
    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        asked = asyncio.create_task(gateway.order(_submit(), ANN, wait=10, answer=_Answer))
        async with asyncio.timeout(5):
            while not await left(gateway):  # noqa: ASYNC110 (the server has no event for it)
                await asyncio.sleep(0.01)
        await service.serve(scheduler)
        assert await asked == _Answer(said="stream")


async def test_what_cannot_be_done_now_is_kept_and_tried_again(nats: NatsSettings) -> None:
    service = _Service(
        UnavailableError("storage is away", retry_after=0.01), UnavailableError("still", retry_after=0.01)
    )
    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        await service.serve(scheduler)
        assert await gateway.order(_submit(), ANN, wait=5, answer=_Answer) == _Answer(said="stream")
        assert [place for _, place in service.came] == [0, 1, 1]
        assert len({message for message, _ in service.came}) == 1
        await _settled(scheduler)


async def test_a_refusal_is_answered_and_announced_once(nats: NatsSettings) -> None:
    service = _Service(ConflictError("taken"), ConflictError("taken"))
    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        await service.serve(scheduler)
        with pytest.raises(ConflictError, match="taken"):
            await gateway.order(_submit(), ANN, wait=5, answer=_Answer)
        await _settled(scheduler)
        (refused,) = await read_events(scheduler)
        assert refused.data["command"] == "workload.submit"


async def test_what_takes_too_long_is_kept_under_the_same_id(nats: NatsSettings) -> None:
    service = _Service(0.4)
    async with open_bus(nats, "scheduler") as scheduler, open_bus(nats, "gateway") as gateway:
        await service.serve(scheduler)
        assert await gateway.order(_submit(), ANN, wait=0.1, answer=_Answer) is None
        await _settled(scheduler)
        assert [place for _, place in service.came] == [0, 1]
        assert len({message for message, _ in service.came}) == 1


async def test_when_nats_was_away_nobody_waits_for_an_answer_that_got_lost(tmp_path: Path) -> None:
    service, server = _Service(3.0), NatsProcess(tmp_path)
    await server.start()
    async with open_bus(server.settings, "scheduler") as scheduler, open_bus(server.settings, "gateway") as gateway:
        await service.serve(scheduler)
        asked = asyncio.create_task(gateway.order(_submit(), ANN, wait=30, answer=_Answer))
        async with asyncio.timeout(5):
            while not service.came:  # noqa: ASYNC110 (what hears it is in another task)
                await asyncio.sleep(0.01)
        await server.kill()
        await server.start()
        async with asyncio.timeout(20):
            assert await asked == _Answer(said="stream")
    await server.kill()
