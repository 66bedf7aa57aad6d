"""Has lines of deliveries worked on by Temporal: told by the outbox, and looked through now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.service import RPCError

from contracts.errors import UnavailableError
from services.chassis.unit import OutboxRow, UnitOfWork
from services.scheduler.workflows.webhook import DeliveryLine, LineInput

from . import store
from .words import AboutLine

__all__ = ["Lines"]

_COMPARE_EVERY = 300.0
"""Seconds."""

_PREFIX = "hook/"
_OWNER = SearchAttributeKey.for_keyword("Owner")

log = structlog.get_logger(__name__)


class Lines:
    """The sink of the outbox for deliveries. A row's subject is `line/<line>`, `hurry/<line>` or `listen/<target>`."""

    def __init__(self, *, unit: UnitOfWork, task_queue: str, listen: Callable[[], None]) -> None:
        self._unit = unit
        self._task_queue = task_queue
        self._listen = listen
        self._client: Client | None = None

    def use(self, client: Client) -> None:
        """Begin to work; before that every row that is for Temporal waits."""
        self._client = client

    async def __call__(self, row: OutboxRow) -> None:
        """Say one row; repeats are harmless."""
        verb = row.subject.partition("/")[0]
        if verb == "listen":
            self._listen()
            return
        about = AboutLine.model_validate_json(row.payload)
        await self._start(about.line, about.owner, "hurry" if verb == "hurry" else "more")

    async def run(self) -> None:
        """Have whatever waits delivered, again and again until cancelled: Temporal may have lost a line."""
        while True:
            try:
                await self.compare()
            except Exception:
                log.exception("hooks.compare_failed")
            await asyncio.sleep(_COMPARE_EVERY)

    async def compare(self) -> None:
        """Start the lines on which something waits; those that are being worked on are left alone."""
        async with self._unit.reading() as connection:
            waiting = await store.lines_waiting(connection)
        for line, owner in waiting:
            await self._start(line, owner, "more")

    async def _start(self, line: str, owner: str, signal: str) -> None:
        if self._client is None:
            raise UnavailableError("Temporal is not there yet", retry_after=1.0)
        try:
            # Started with the signal in one call: a line that is about to end does not.
            await self._client.start_workflow(
                DeliveryLine.run,
                LineInput(line=line),
                id=f"{_PREFIX}{line}",
                task_queue=self._task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                search_attributes=TypedSearchAttributes([SearchAttributePair(_OWNER, owner)]),
                start_signal=signal,
            )
        except RPCError as error:
            raise UnavailableError(f"Temporal does not answer: {error.status.name}", retry_after=1.0) from error
