"""What the scheduler finds when it looks at its workloads, their workflows and the runners."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from contracts.model import now
from contracts.operations import Finding, Severity
from contracts.states import WorkloadState
from services.chassis.unit import UnitOfWork

from .backends.registry import Backends, Standing
from .store import silent_runs, standing_still
from .temporal import TemporalSink

__all__ = ["Probes"]

_STILL = timedelta(seconds=60)
"""A workload that should move by itself, and has not for so long, is looked at."""
_SILENT = timedelta(seconds=120)
_AT_MOST = 40
"""Workflows that are asked for their state in one look, and findings of one kind."""
_FAILED_TASKS = 3
"""Tries of one workflow task after which it is not bad luck any more."""


class Probes:
    """Looks for work that stands still."""

    def __init__(
        self,
        *,
        unit: UnitOfWork,
        backends: Backends,
        sink: TemporalSink,
        namespace: str,
        failed_tasks: int = _FAILED_TASKS,
    ) -> None:
        self._failed_tasks = failed_tasks
        self._unit = unit
        self._backends = backends
        self._sink = sink
        self._namespace = namespace

    async def runners(self) -> list[Finding]:
        """Say which backends nobody serves, and whose clocks are off."""
        standings = await self._backends.standings()
        return [finding for standing in standings for finding in _of_backend(standing)]

    async def attempts(self) -> list[Finding]:
        """Say which attempts give no sign of life."""
        async with self._unit.reading() as connection:
            silent = await silent_runs(connection, now() - _SILENT, limit=_AT_MOST)
        # What is queued lies in the backend's queue and has nothing to say.
        runs = [run for run in silent if run["state"] != WorkloadState.QUEUED]
        if not runs:
            return []
        backends = sorted({str(run["backend"]) for run in runs})
        return [
            Finding(
                code="attempts-silent",
                severity=Severity.WARNING,
                part=", ".join(backends),
                what=f"{len(runs)} attempts gave no sign of life for {_SILENT.total_seconds():.0f} s",
                evidence=[f"{run['id']}.{run['attempt']} {run['state']}" for run in runs[:10]],
                cause="their runner is gone or cut off; until it can be asked nobody knows whether they still run",
                remedy="start a runner on that machine again: `shunter service runner --data <data>`; it takes them up",
            )
        ]

    async def workflows(self) -> list[Finding]:
        """Say which workflows fail, and where the table and Temporal disagree."""
        client = self._sink.client
        if client is None:
            return []  # the dependency's probe says so
        async with self._unit.reading() as connection:
            rows = await standing_still(connection, now() - _STILL, limit=_AT_MOST)
        found = await asyncio.gather(*(self._look_at(client, dict(row)) for row in rows))
        failing = await self._reported(client, {row["id"] for row in rows})
        return [finding for finding in [*found, *failing] if finding]

    async def _reported(self, client: Client, known: set[str]) -> list[Finding | None]:
        """Look at those of which the server itself says that their tasks fail, however they stand in the table."""
        query = 'ExecutionStatus="Running" AND TemporalReportedProblems IS NOT NULL'
        try:
            ids = [item.id async for item in client.list_workflows(query, limit=_AT_MOST)]
        except RPCError as error:
            if error.status is RPCStatusCode.INVALID_ARGUMENT:
                return []  # an older server does not know the attribute
            raise
        described = (self._look_at(client, {"id": name, "state": ""}) for name in ids if name not in known)
        return list(await asyncio.gather(*described))

    async def _look_at(self, client: Client, row: dict[str, Any]) -> Finding | None:
        try:
            seen = await client.get_workflow_handle(row["id"]).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return _disagree(row, "Temporal does not know its workflow")
            raise
        if seen.status is not WorkflowExecutionStatus.RUNNING:
            status = seen.status.name.lower() if seen.status else "unknown"
            return _disagree(row, f"its workflow is {status}") if row["state"] else None
        attempt = seen.raw_description.pending_workflow_task.attempt
        if attempt < self._failed_tasks:
            return None
        return _failing(row["id"], attempt, await self._cause(client, seen))

    async def _cause(self, client: Client, seen: WorkflowExecutionDescription) -> str:
        """Return what the last failed workflow task said."""
        request = GetWorkflowExecutionHistoryReverseRequest(namespace=self._namespace, maximum_page_size=10)
        request.execution.workflow_id, request.execution.run_id = seen.id, seen.run_id
        history = await client.workflow_service.get_workflow_execution_history_reverse(request)
        for event in history.history.events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                failure = event.workflow_task_failed_event_attributes.failure
                return ": ".join(part for part in (failure.message, failure.cause.message) if part)[:500]
        return "its worker does not answer in time"


def _of_backend(standing: Standing) -> Iterable[Finding]:
    name = standing.backend.name
    if standing.trouble and standing.backend.queue is not None:
        yield Finding(
            code="engine-away",
            severity=Severity.CRITICAL,
            part=name,
            what=f"the cluster {name} does not answer: what is placed there waits, what runs there runs on",
            evidence=[standing.trouble],
            cause="it is down, cut off, or does not know us any more",
            remedy="see to what it says; all is kept and goes on by itself",
        )
    # Where machines come and go as they like, none being there is no fault: `shunter backends` says so.
    elif standing.trouble and not standing.backend.is_patient:
        yield Finding(
            code="backend-unserved",
            severity=Severity.CRITICAL,
            part=name,
            what=f"no runner of {name} answers: what is placed there waits",
            evidence=[standing.trouble],
            cause="its runners are down, or cut off from NATS",
            remedy="shunter service runner --data <data>   (on a node of that backend)",
        )
    for lack in standing.capacity.lacks if standing.capacity else ():
        yield Finding(
            code="backend-lacks",
            severity=Severity.NOTE,
            part=name,
            what=f"{name} works, but {lack}",
            cause="it is older than what Shunter makes the most of",
            remedy="upgrade it when it suits; nothing needs to be changed in Shunter",
        )
    for runner, seconds in standing.capacity.clocks_off if standing.capacity else ():
        yield Finding(
            code="clock-off",
            severity=Severity.WARNING,
            part=runner,
            what=f"the clock of runner {runner} is {seconds:+.0f} s off",
            evidence=[f"backend={name}", f"seconds={seconds:.1f}"],
            cause="no time service on its node",
            remedy="chronyc -a makestep   (on that node); presigned URLs and times of use depend on it",
        )


def _disagree(row: dict[str, Any], seen: str) -> Finding:
    return Finding(
        code="table-and-temporal-disagree",
        severity=Severity.WARNING,
        part=row["id"],
        what=f"{row['id']} is {row['state']} by the table, but {seen}",
        evidence=[f"state={row['state']}"],
        cause="one of the two was restored from a backup or lost data; it is mended within a minute by itself",
        remedy="wait a minute; if it stays, restart the scheduler: it compares both at its start",
    )


def _failing(workload: str, attempt: int, cause: str) -> Finding:
    return Finding(
        code="workflow-failing",
        severity=Severity.CRITICAL,
        part=workload,
        what=f"the workflow of {workload} cannot go on: its task failed {attempt} times",
        evidence=[f"tries={attempt}", cause],
        cause="the code of this release does not fit its history, or has a bug; mended, it goes on by itself",
        remedy=f"run the release that began it, or: temporal workflow reset --workflow-id {workload} "
        "--type LastWorkflowTask --reason operator",
    )
