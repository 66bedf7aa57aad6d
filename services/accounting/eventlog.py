"""The event log as accounting reads it: in bulk from its beginning, and how far the live ledger is behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from contracts.errors import UnavailableError
from services.chassis.errors import translated
from services.chassis.leading import fetch

from .moves import STREAM, SUBJECTS

__all__ = ["DURABLE", "Entry", "EventLog"]

DURABLE = "accounting-events"
"""The consumer that feeds the live ledger."""

Entry = tuple[int, bytes]
"""An event's place in the log, and its envelope."""

_BATCH = 1000
"""Events read, and held in memory, at a time."""

_PATIENCE = 10.0
"""Seconds that the log may take for the next batch."""


class EventLog:
    """Reads the EVENTS stream beside the consumer that feeds the live ledger."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream

    async def bounds(self) -> tuple[int, int]:
        """Return the places of the first and the last event that the log holds."""
        with translated("the event log"):
            state = (await self._jetstream.stream_info(STREAM)).state
        return state.first_seq, state.last_seq

    async def read(self, until: int) -> AsyncGenerator[list[Entry], None]:
        """Give the events that matter to the ledger from the beginning up to *until*, in order, some at a time."""
        config = ConsumerConfig(
            filter_subjects=list(SUBJECTS),
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.ALL,
            mem_storage=True,
            inactive_threshold=4 * _PATIENCE,
        )
        with translated("the event log"):
            subscription = await self._jetstream.pull_subscribe("", stream=STREAM, config=config)
            pending = (await subscription.consumer_info()).num_pending or 0
        try:
            while pending:
                # Never more than there are: the server would wait for the rest.
                with translated("the event log"):
                    messages = await fetch(subscription, min(_BATCH, pending), within=_PATIENCE)
                places = [message.metadata for message in messages]
                read = zip(places, messages, strict=True)
                entries = [(at.sequence.stream, m.data) for at, m in read if at.sequence.stream <= until]
                if entries:
                    yield entries
                pending = places[-1].num_pending if len(entries) == len(messages) else 0
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def lag(self) -> int:
        """Return how many events the live ledger has yet to take."""
        with translated("the event log"):
            info = await self._jetstream.consumer_info(STREAM, DURABLE)
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def taken(self) -> int:
        """Return the place up to which the live ledger has taken every event; 0 before the first."""
        try:
            with translated("the event log"):
                info = await self._jetstream.consumer_info(STREAM, DURABLE)
        except NotFoundError:
            return 0
        return info.ack_floor.stream_seq if info.ack_floor else 0

    async def wait_until_taken(self, sequence: int, *, patience: float, every: float) -> None:
        """Wait until the live ledger has taken every event up to *sequence*."""
        try:
            async with asyncio.timeout(patience):
                while await self.taken() < sequence:  # noqa: ASYNC110 (only NATS knows)
                    await asyncio.sleep(every)
        except TimeoutError as error:
            raise UnavailableError("the ledger is behind the event log; try again later", retry_after=5.0) from error

    async def begin_again(self) -> None:
        """Forget how far the live ledger is: it will be given every event again, from the first."""
        with translated("the event log"), suppress(NotFoundError):
            await self._jetstream.delete_consumer(STREAM, DURABLE)
