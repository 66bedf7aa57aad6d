"""Looks through the event log as long as anybody wants to be told of anything; a site without costs nothing here."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from contracts.errors import UnavailableError
from contracts.subjects import event_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.reader import StreamReader
from services.chassis.unit import UnitOfWork

from . import store
from .intake import HookIntake

__all__ = ["Listener"]

_STREAM = "EVENTS"
_AT_ONCE = 256
_MARGIN = timedelta(minutes=10)
"""Clocks differ, and what was said last need not have been made last."""
_SETTLE_EVERY = 5.0
"""Seconds between two writes of the place in the log, where nothing else is written."""
_TROUBLE = 1.0

log = structlog.get_logger(__name__)


class Listener:
    """Reads events and hands them to the intake. The place in the log lies in the table, beside what came of it."""

    def __init__(self, *, unit: UnitOfWork, bus: Bus, intake: HookIntake, look: float) -> None:
        self._unit = unit
        self._bus = bus
        self._intake = intake
        self._look = look
        self._wanted = asyncio.Event()
        self._renewed = False
        self.reading = False
        """Whether the log is being read."""

    def expect(self) -> None:
        """Somebody wants to be told, from now on."""
        self._wanted.set()

    async def begin_again(self) -> None:
        """NATS was away and may have lost its store: find the place in the log anew."""
        self._renewed = True

    async def run(self) -> None:
        """Listen until cancelled, whenever somebody wants to be told."""
        while True:
            try:
                if await self._is_wanted():
                    await self._read()
            except UnavailableError as error:
                log.warning("hooks.postponed", detail=error.detail)
                await asyncio.sleep(_TROUBLE)
                continue
            except Exception:
                log.exception("hooks.failed")
                await asyncio.sleep(_TROUBLE)
                continue
            finally:
                self.reading = False
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look):
                    await self._wanted.wait()
            self._wanted.clear()

    async def _is_wanted(self) -> bool:
        async with self._unit.looking_up() as connection:
            return await store.has_interest(connection)

    async def _read(self) -> None:
        """Read until nobody is interested any more. Whatever goes wrong, the table knows where to go on."""
        self._renewed = False
        async with StreamReader(
            self._bus, _STREAM, [event_subject()], start=await self._start(), batch=_AT_ONCE
        ) as reader:
            self.reading = True
            looked = settled = time.monotonic()
            while not self._renewed:
                await self._intake.take(await reader.read(wait=_SETTLE_EVERY))
                if time.monotonic() - settled >= _SETTLE_EVERY:
                    await self._intake.settle()
                    settled = time.monotonic()
                if time.monotonic() - looked >= self._look:
                    looked = time.monotonic()
                    if not await self._is_wanted():
                        break
            await self._intake.settle()

    async def _start(self) -> int | datetime:
        """Return where to go on: behind what was looked through, but not before anybody was interested."""
        async with self._unit.looking_up() as connection:
            position, oldest = await store.read_position(connection), await store.oldest_interest(connection)
        with translated("the event log"):
            last = int((await self._bus.jetstream.stream_info(_STREAM)).state.last_seq)
        since = oldest - _MARGIN if oldest else None
        if position is None:
            return since or last + 1
        if since is not None and since > position.at:
            return since
        # A log that lost its store and was told again has other numbers.
        return position.sequence + 1 if position.sequence <= last else position.at - _MARGIN
