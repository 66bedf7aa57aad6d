"""The way to Temporal: the outbox starts and signals workflows, so that nothing waits and nothing is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.client import Client
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from contracts.errors import InternalError, UnavailableError
from contracts.model import Model
from contracts.states import WorkloadState
from services.chassis.crowd import Crowd
from services.chassis.unit import OutboxRow

from .settings import TemporalSettings
from .workflows.job import JobWorkflow
from .workflows.rules import BACKEND, STATE
from .workflows.words import AttemptEnd, Cancellation, JobInput, Recall

__all__ = ["TEMPORAL_SINK", "Signal", "StartJob", "TemporalSink", "connect"]

TEMPORAL_SINK = "temporal"
"""The sink of the outbox for what is to be told to Temporal."""

_OWNER = SearchAttributeKey.for_keyword("Owner")
_PROJECT = SearchAttributeKey.for_keyword("Project")

_STARTS = 8
"""Workflows that are started at once: more would only take from those who submit, whose jobs wait for room anyway."""

IsOver = Callable[[str], Awaitable[bool]]
Wake = Callable[[str], Awaitable[None]]


class StartJob(Model):
    """Start the workflow of a job."""

    job: JobInput
    owner: str
    project: str | None = None
    title: str = ""
    backend: str | None = None
    """Where it is let go to; none leaves the choice to the first attempt."""


class Signal(Model):
    """Tell a workflow something; exactly one of these is given, or `start`."""

    cancel: Cancellation | None = None
    ended: AttemptEnd | None = None
    runs: int | None = None
    recall: Recall | None = None
    start: bool = False


async def connect(settings: TemporalSettings) -> Client:
    """Connect to Temporal; raises `UnavailableError` while it does not answer."""
    try:
        return await Client.connect(
            settings.address, namespace=settings.namespace, data_converter=pydantic_data_converter
        )
    except RuntimeError as error:
        raise UnavailableError(f"Temporal does not answer at {settings.address}", retry_after=1.0) from error


class TemporalSink:
    """Says rows of the outbox to Temporal. A row's subject is `start/<id>` or `signal/<id>`."""

    def __init__(self, *, task_queue: str, is_over: IsOver, wake: Wake, crowd: Crowd | None = None) -> None:
        """*crowd*: those who wait for an answer, which they get before workflows start."""
        self.task_queue = task_queue
        self._crowd = crowd or Crowd()
        self._wake = wake
        self._starting = asyncio.Semaphore(_STARTS)
        self._is_over = is_over
        self._client: Client | None = None

    def use(self, client: Client) -> None:
        """Begin to work; before that every row waits."""
        self._client = client

    @property
    def client(self) -> Client | None:
        """Return the connection, none before there is one."""
        return self._client

    async def __call__(self, row: OutboxRow) -> None:
        """Say one row; repeats are harmless."""
        if self._client is None:
            raise UnavailableError("Temporal is not there yet", retry_after=1.0)
        verb, _, workload_id = row.subject.partition("/")
        try:
            if verb == "start":
                async with self._starting:
                    await self._crowd.give_way()
                    await self._start(self._client, StartJob.model_validate_json(row.payload))
            else:
                await self._signal(self._client, workload_id, Signal.model_validate_json(row.payload))
        except RPCError as error:
            raise UnavailableError(f"Temporal does not answer: {error.status.name}", retry_after=1.0) from error

    async def start_again(self, start: StartJob, state: str) -> None:
        """Start a workflow anew whose last run is closed or gone; one that runs is left alone."""
        if self._client is None:
            raise UnavailableError("Temporal is not there yet", retry_after=1.0)
        await self._start(self._client, start, state, WorkflowIDReusePolicy.ALLOW_DUPLICATE)

    async def _start(
        self,
        client: Client,
        start: StartJob,
        state: str = WorkloadState.ACCEPTED,
        # A row that is said again after a crash must not begin a second life of what has ended meanwhile.
        reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.REJECT_DUPLICATE,
    ) -> None:
        # Where it goes is known mostly, and said here it costs the workflow no word of its own.
        told = bool(start.backend) and state == WorkloadState.ACCEPTED
        attributes = [SearchAttributePair(_OWNER, start.owner)]
        attributes.append(SearchAttributePair(STATE, WorkloadState.QUEUED if told else state))
        if told and start.backend:
            attributes.append(SearchAttributePair(BACKEND, start.backend))
        if start.project:
            attributes.append(SearchAttributePair(_PROJECT, start.project))
        try:
            await client.start_workflow(
                JobWorkflow.run,
                start.job.model_copy(update={"backend": start.backend, "told": told}),
                id=start.job.workload_id,
                task_queue=self.task_queue,
                id_reuse_policy=reuse,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=TypedSearchAttributes(attributes),
                static_summary=start.title or None,
                request_eager_start=True,
            )
        except WorkflowAlreadyStartedError:
            return

    async def _signal(self, client: Client, workload_id: str, signal: Signal) -> None:
        name, arguments = _call_of(signal)
        await self._wake(workload_id)
        try:
            await client.get_workflow_handle(workload_id).signal(name, args=arguments)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            # Either it has ended, and needs no signal, or its start is still on the way.
            if not await self._is_over(workload_id):
                raise UnavailableError(f"{workload_id} has not started yet", retry_after=0.5) from error


def _call_of(signal: Signal) -> tuple[str, list[Any]]:
    if signal.cancel is not None:
        return "cancel", [signal.cancel]
    if signal.ended is not None:
        return "ended", [signal.ended]
    if signal.runs is not None:
        return "runs", [signal.runs]
    if signal.recall is not None:
        return "recall", [signal.recall]
    if signal.start:
        return "start", []
    raise InternalError("a signal that says nothing")
