"""Stand-ins for the activities of the job workflow, for tests of what it decides."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.worker import Worker

from contracts.states import Reason
from services.scheduler.worker import workflow_runner
from services.scheduler.workflows.calls import JobCalls
from services.scheduler.workflows.job import JobWorkflow
from services.scheduler.workflows.words import (
    AttemptEnd,
    AttemptRef,
    Ending,
    JobInput,
    JobResult,
    Move,
    Submitted,
    Withdrawal,
    Withdrawn,
)

__all__ = ["Act", "Calls", "Handle", "live_long"]

Handle = WorkflowHandle[JobWorkflow, JobResult]
Act = Callable[[Handle, AttemptRef], Awaitable[None]]


class Calls(JobCalls):
    """Notes what is asked of it; *on_submit* says what happens to each attempt."""

    def __init__(
        self,
        on_submit: Act,
        *,
        gone: bool = True,
        refuse: str = "",
        on_look_up: Act | None = None,
        lost: bool = True,
        withdrawals: Sequence[Withdrawal] = (),
        answers: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Take *on_submit* for each attempt; it lies patiently while there are *withdrawals* left to answer with.

        *answers* are what the first submits are answered beside where they went.
        """
        self._answers = list(answers)
        self._on_submit = on_submit
        self._on_look_up = on_look_up
        self._lost = lost
        self._withdrawals = list(withdrawals)
        self.refs: list[AttemptRef] = []
        self._gone = gone
        self._refuse = refuse
        self.handle: Handle | None = None
        self.attempts: list[int] = []
        self.cancels = 0
        self.look_ups: list[int] = []
        self.moves: list[Move] = []

    @property
    def all(self) -> list[Callable[..., Any]]:
        return [self.submit_attempt, self.cancel_attempt, self.withdraw_attempt, self.look_up_attempt, self.move]

    @activity.defn
    async def submit_attempt(self, ref: AttemptRef) -> Submitted:
        self.attempts.append(ref.attempt)
        self.refs.append(ref)
        if self._refuse:
            return Submitted(backend=None, message=self._refuse)
        assert self.handle is not None
        more = self._answers.pop(0) if self._answers else {}
        if not {"refused", "later"} & more.keys():
            await self._on_submit(self.handle, ref)
        patience = 20.0 if self._withdrawals else None
        return Submitted.model_validate({"backend": f"test-{ref.attempt}", "patience": patience, **more})

    @activity.defn
    async def withdraw_attempt(self, ref: AttemptRef) -> Withdrawn:
        outcome = self._withdrawals.pop(0)
        assert self.handle is not None
        if outcome is Withdrawal.ENDING:
            await self.handle.signal(JobWorkflow.ended, AttemptEnd(attempt=ref.attempt, reason=Reason.CANCELED))
        if outcome is Withdrawal.BEGUN:
            await self._on_submit(self.handle, ref)
        return Withdrawn(outcome=outcome)

    @activity.defn
    async def cancel_attempt(self, ref: AttemptRef) -> Ending:  # noqa: ARG002
        self.cancels += 1
        return Ending(gone=self._gone or self.cancels > 1)

    @activity.defn
    async def look_up_attempt(self, ref: AttemptRef) -> Ending:
        self.look_ups.append(ref.attempt)
        if self._on_look_up and self.handle is not None:
            await self._on_look_up(self.handle, ref)
        return Ending(gone=self._lost)

    @activity.defn
    async def move(self, move: Move) -> None:
        self.moves.append(move)


async def live_long(client: Client) -> tuple[JobResult, Calls, list[WorkflowHistory]]:
    """Run a job of six attempts that goes on in a fresh history after each two; returns all its histories in order."""

    async def fail(handle: Handle, ref: AttemptRef) -> None:
        code = 0 if ref.attempt == 6 else 1
        reason = Reason.LOST if ref.attempt == 2 else Reason.EXITED
        await handle.signal(JobWorkflow.ended, AttemptEnd(attempt=ref.attempt, reason=reason, exit_code=code))

    name, calls = f"job-{uuid.uuid4().hex}", Calls(fail)
    job = JobInput(workload_id=name, walltime=60.0, backoff=0.0, max_retries=4, continue_after=2)
    async with Worker(
        client,
        task_queue=name,
        workflows=[JobWorkflow],
        activities=calls.all,
        workflow_runner=workflow_runner(),
    ):
        calls.handle = client.get_workflow_handle_for(JobWorkflow.run, name)
        handle = await client.start_workflow(JobWorkflow.run, job, id=name, task_queue=name)
        async with asyncio.timeout(60):
            result = await handle.result()
    histories, run = [], handle.first_execution_run_id
    while run:
        history = await client.get_workflow_handle(name, run_id=run).fetch_history()
        histories.append(history)
        run = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return result, calls, histories
