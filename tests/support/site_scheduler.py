"""A scheduler as the gateway can tell: jobs that are moved by hand, held in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel

from contracts.catalog import AppPart, Catalog, Entrypoint, Handler
from contracts.commands import (
    CancelWorkload,
    HoldWorkload,
    RetryWorkload,
    StartWorkload,
    SubmitWorkload,
)
from contracts.envelope import Context, Envelope
from contracts.errors import ConflictError, InvalidError, MismatchError, NotFoundError
from contracts.events import Event, WorkloadMoved
from contracts.explanations import Explanation, Why
from contracts.grants import WorkloadsSharedWith
from contracts.model import now
from contracts.queries import (
    BackendView,
    CheckHealth,
    ExplainWorkload,
    GetHistory,
    GetWorkload,
    History,
    ListApplications,
    ListBackends,
    ListWorkloads,
    Query,
    WorkloadPage,
)
from contracts.runs import LogChunk
from contracts.states import Reason, WorkloadState
from contracts.subjects import log_subject, subject_of
from contracts.workloads import Transition, Workload
from services.chassis.bus import Bus, Delivery, QueryHandler
from services.chassis.policy import require_visible

from .site_unknown import shares_nothing, unknown_commands, unknown_queries, well

__all__ = ["SmallScheduler"]


@dataclass(kw_only=True)
class SmallScheduler:
    """Answers for the scheduler."""

    scheduler: Bus
    workloads: dict[str, Workload] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    asked: list[BaseModel] = field(default_factory=list)

    async def start_scheduler(self, *, commands: bool = True) -> None:
        """Begin to answer as the scheduler and, unless told otherwise, to handle commands."""
        if commands:
            self.scheduler.handle_commands(
                {
                    **unknown_commands("scheduler"),
                    SubmitWorkload: self.submit,
                    CancelWorkload: self.cancel,
                    HoldWorkload: self.hold,
                    StartWorkload: self.start,
                    RetryWorkload: self.retry,
                }
            )
        played: dict[type[Query], QueryHandler] = {
            GetWorkload: self.get,
            GetHistory: self.history,
            ExplainWorkload: self.explain,
            ListWorkloads: self.page,
            ListBackends: self.backends,
            ListApplications: self.applications,
            WorkloadsSharedWith: shares_nothing,
            CheckHealth: well("scheduler"),
        }
        self.scheduler.answer_queries({**unknown_queries("scheduler"), **played})
        await self.scheduler.start()

    async def submit(self, command: SubmitWorkload, _delivery: Delivery) -> Workload:
        if command.spec.placement.backend == "nowhere":
            raise InvalidError.of("placement.backend", "there is no backend 'nowhere'")
        if known := self.workloads.get(command.workload_id):
            if self.hashes[known.id] != command.request_hash:
                raise MismatchError("the key was used for another request")
            return known
        self.hashes[command.workload_id] = command.request_hash
        state = WorkloadState.HELD if command.spec.hold else WorkloadState.ACCEPTED
        workload = Workload(
            id=command.workload_id,
            owner=command.principal.subject,
            project=command.spec.project or command.principal.default_project,
            name=command.spec.name,
            labels=command.spec.labels,
            spec=command.spec,
            state=state,
            reason=Reason.SUBMITTED,
            created_at=now(),
            updated_at=now(),
        )
        self.workloads[workload.id] = workload
        return workload

    def _mine(
        self,
        query: GetWorkload
        | GetHistory
        | ExplainWorkload
        | CancelWorkload
        | HoldWorkload
        | StartWorkload
        | RetryWorkload,
    ) -> Workload:
        workload = self.workloads.get(query.workload_id)
        if workload is None:
            raise NotFoundError(f"{query.workload_id} does not exist")
        require_visible(query.principal, workload.owner, workload.project, workload.id)
        return workload

    async def cancel(self, command: CancelWorkload, _delivery: Delivery) -> Workload:
        workload = self._mine(command)
        if workload.state is WorkloadState.CANCELED:
            return workload
        if workload.state.is_terminal:
            raise ConflictError(f"{workload.id} has ended: {workload.state}")
        self.workloads[workload.id] = workload.model_copy(update={"cancel_requested": True})
        return self.workloads[workload.id]

    async def hold(self, command: HoldWorkload, _delivery: Delivery) -> Workload:
        workload = self._mine(command)
        if workload.state not in {WorkloadState.ACCEPTED, WorkloadState.HELD}:
            raise ConflictError(f"{workload.id} is {workload.state} already")
        self.workloads[workload.id] = workload.model_copy(update={"state": WorkloadState.HELD})
        return self.workloads[workload.id]

    async def explain(self, query: ExplainWorkload) -> Explanation:
        workload = self._mine(query)
        return Explanation(
            workload_id=workload.id,
            state=workload.state,
            why=Why.HANDED_OVER,
            message="it is on its way",
            since=workload.updated_at,
        )

    async def start(self, command: StartWorkload, _delivery: Delivery) -> Workload:
        workload = self._mine(command)
        if workload.state is not WorkloadState.HELD:
            raise ConflictError(f"{workload.id} is not held")
        return workload

    async def retry(self, command: RetryWorkload, delivery: Delivery) -> Workload:
        old = self._mine(command)
        again = SubmitWorkload(workload_id=command.new_id, principal=command.principal, spec=old.spec)
        made = await self.submit(again, delivery)
        self.workloads[made.id] = made.model_copy(update={"retry_of": old.id})
        return self.workloads[made.id]

    async def get(self, query: GetWorkload) -> Workload:
        self.asked.append(query)
        return self._mine(query)

    async def history(self, query: GetHistory) -> History:
        workload = self._mine(query)
        first = Transition(
            revision=1, state=WorkloadState.ACCEPTED, at=workload.created_at, attempt=1, reason=Reason.SUBMITTED
        )
        return History(workload_id=workload.id, transitions=[first])

    async def page(self, query: ListWorkloads) -> WorkloadPage:
        self.asked.append(query)
        if query.cursor is not None and not (query.cursor.isascii() and query.cursor.isdigit()):
            raise InvalidError.of("cursor", "is not one of ours")
        start = int(query.cursor or 0)
        mine = [item for item in self.workloads.values() if item.owner == query.principal.subject]
        items = mine[start : start + query.limit]
        more = start + query.limit < len(mine)
        return WorkloadPage(items=items, next_cursor=str(start + query.limit) if more else None)

    async def backends(self, _query: ListBackends) -> list[BackendView]:
        return [BackendView(backend="local", kind="local", healthy=True, cpus=2.0)]

    async def applications(self, _query: ListApplications) -> Catalog:
        train = Entrypoint(app=AppPart(cmd=["true"], env=["SEED"]), handler=Handler(files_down={"data_ids": "data"}))
        return Catalog(applications={"decode": {"v1": {"train": train}}}, sha256="0" * 64, loaded_at=now())

    async def move(self, job_id: str, state: WorkloadState, **more: object) -> Workload:
        """Move a job and say so, as the scheduler does."""
        old = self.workloads[job_id]
        reason = Reason.EXITED if state.is_terminal else Reason.STARTED
        changes = {"state": state, "reason": reason, "revision": old.revision + 1, "updated_at": now(), **more}
        workload = self.workloads[job_id] = Workload.model_validate({**old.model_dump(), **changes})
        await self.announce(
            WorkloadMoved(
                workload_id=job_id,
                owner=workload.owner,
                project=workload.project,
                revision=workload.revision,
                old=old.state,
                new=state,
                at=workload.updated_at,
                attempt=workload.attempt,
                reason=reason,
            )
        )
        return workload

    async def announce(self, event: Event) -> None:
        """Say an event, as a relay does."""
        context = Context.start("service:scheduler")
        envelope = Envelope.wrap(event, context, source="scheduler", subject=event.subject_id)
        await self.scheduler.publish(subject_of(event), envelope.to_bytes(), envelope.id)

    async def print(self, job_id: str, data: bytes, *, offset: int, attempt: int = 1, stream: str = "stdout") -> None:
        """Publish a chunk of output, as a runner does."""
        await self.scheduler.publish(
            log_subject(job_id, attempt, stream),
            data,
            f"{job_id}-{attempt}-{stream}-{offset}",
            {LogChunk.OFFSET: str(offset)},
        )
