"""Jobs, as users ask for them: everything is the scheduler's; this says it on the bus and waits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

import orjson
from nats.js.errors import NotFoundError as NoMessageError

from contracts.commands import (
    CancelWorkload,
    Command,
    HoldWorkload,
    RemoveWorkload,
    RetryWorkload,
    StartWorkload,
    SubmitWorkload,
)
from contracts.envelope import Envelope
from contracts.errors import NotFoundError, UnavailableError
from contracts.explanations import Explanation
from contracts.glances import GlancePage, GlanceWorkloads
from contracts.ids import workload_id, workload_id_from
from contracts.model import Model, now
from contracts.placements import PlacementView, PlaceWorkload
from contracts.queries import (
    ExplainWorkload,
    FindWorkload,
    GetHistory,
    GetTask,
    GetWorkload,
    History,
    ListTasks,
    ListWorkloads,
    TaskPage,
)
from contracts.secrets import replace_secrets
from contracts.spec import Input, JobSpec
from contracts.states import TERMINAL, WorkloadState
from contracts.subjects import event_subject, subject_of
from contracts.tasks import Task, TaskState
from contracts.workloads import Workload
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.sealing import Sealer

from .callers import Caller
from .closing import Closing
from .demand import gpus_of
from .records import JobRecord, RecordPage
from .watch import Watch, watching

__all__ = ["CHANGE", "JobService", "Submitted", "Until", "hash_of"]

CHANGE = "change"
"""What a long poll may wait for, beside states: any move at all."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submit: accepted with the record, or kept and not handled yet."""

    job_id: str
    record: JobRecord | None
    replayed: bool = False
    """Whether an earlier request with the same key had made the workload."""


@dataclass(frozen=True, slots=True)
class Until:
    """What a long poll waits for: states, or (none given) any change from a revision."""

    states: frozenset[WorkloadState]
    revision: int | None = None

    @classmethod
    def of(cls, word: str, revision: int | None) -> Until:
        """Read `terminal`, `change` or a state."""
        if word == CHANGE:
            return cls(frozenset(), revision)
        # What has ended reaches no other state: nobody waits for that.
        return cls(TERMINAL if word == "terminal" else TERMINAL | {WorkloadState(word)})

    def is_met(self, record: JobRecord, first: int) -> bool:
        """Say whether the waiting is over; *first* is the revision that was seen at the beginning."""
        if self.states:
            return record.state in self.states
        known = first if self.revision is None else self.revision
        return record.revision != known or record.state.is_terminal

    def is_news(self, fact: str) -> bool:
        """Say whether a fact can end the waiting; most moves of a job do not, and cost no question then."""
        return not self.states or fact in self.states


class JobService:
    """Submits, shows and steers jobs for one caller."""

    def __init__(self, *, bus: Bus, caller: Caller, closing: Closing, wait: float, sealer: Sealer) -> None:
        self._bus = bus
        self._caller = caller
        self._closing = closing
        self._wait = wait
        self._sealer = sealer

    async def submit(self, spec: JobSpec, *, key: str | None, wait: float | None) -> Submitted:
        """Hand a job in; raises the scheduler's refusal. Without *key* each call makes another job."""
        self._caller.require(gpus=gpus_of(spec))
        principal = self._caller.principal
        job_id = workload_id_from(principal.subject, key) if key else workload_id()
        command = SubmitWorkload(
            workload_id=job_id,
            principal=principal,
            spec=replace_secrets(spec, self._sealer.seal),
            request_hash=hash_of(replace_secrets(spec, self._sealer.mark)) if key else "",
        )
        return await self._make(job_id, command, key=key, wait=wait)

    async def place(self, spec: JobSpec) -> PlacementView:
        """Return where a job would go if it were submitted now; raises the refusal of a submit."""
        self._caller.require(gpus=gpus_of(spec))
        query = PlaceWorkload(principal=self._caller.principal, spec=replace_secrets(spec, self._sealer.seal))
        view: PlacementView = await self._bus.ask(query)
        return view

    async def retry(
        self, job_id: str, *, key: str | None, wait: float | None, tasks: Literal["all", "failed"] = "all"
    ) -> Submitted:
        """Run an ended job again, as a new one; of an array all tasks, or those that failed."""
        principal = self._caller.principal
        new_id = workload_id_from(principal.subject, key) if key else workload_id()
        if self._caller.is_limited:
            # It makes another job, which whoever may only look after this one may not.
            self._caller.require(gpus=gpus_of((await self.get(job_id)).spec), resource=new_id)
        command = RetryWorkload(
            workload_id=job_id,
            principal=principal,
            new_id=new_id,
            request_hash=sha256((job_id if tasks == "all" else f"{job_id} {tasks}").encode()).hexdigest()
            if key
            else "",
            tasks=tasks,
        )
        return await self._make(new_id, command, key=key, wait=wait)

    async def _make(self, new_id: str, command: Command, *, key: str | None, wait: float | None) -> Submitted:
        asked_at = now()
        record = await self._order(command, wait)
        # A record that is older than the request was made by an earlier one. The clocks of gateway and scheduler
        # decide; if they disagree, 200 is said for 201 or the other way round, which harms nobody.
        replayed = bool(key and record and record.created_at < asked_at)
        return Submitted(new_id, record, replayed)

    async def submit_as(self, job_id: str, spec: JobSpec, *, request: str) -> Submitted:
        """Hand a job in under a name that was chosen for it.

        *request* names this request alone: raises `MismatchError`, or `NotFoundError` where it is somebody else's, if
        the name is taken.
        """
        self._caller.require(gpus=gpus_of(spec))
        principal = self._caller.principal
        sealed = replace_secrets(spec, self._sealer.seal)
        command = SubmitWorkload(workload_id=job_id, principal=principal, spec=sealed, request_hash=request)
        return Submitted(job_id, await self._order(command, None))

    async def start(self, job_id: str, inputs: list[Input] | None = None) -> JobRecord | None:
        """Let a held job go, with more inputs if given; None if the scheduler is away, then it will be done later."""
        if self._caller.is_limited:
            self._caller.require(gpus=gpus_of((await self.get(job_id)).spec))
        command = StartWorkload(workload_id=job_id, principal=self._caller.principal, inputs=inputs or [])
        return await self._order(command, None)

    async def hold(self, job_id: str) -> JobRecord | None:
        """Keep a job that waits from starting; None if the scheduler is away, then it will be done later."""
        return await self._order(HoldWorkload(workload_id=job_id, principal=self._caller.principal), None)

    async def cancel(self, job_id: str, tasks: str | None = None) -> JobRecord | None:
        """End a job, or some tasks of an array; None if the scheduler is away, then it will be done later."""
        command = CancelWorkload(workload_id=job_id, principal=self._caller.principal, tasks=tasks)
        return await self._order(command, None)

    async def remove(self, job_id: str) -> bool:
        """Have a job gone, cancelling it first if need be; False if the scheduler is away, then it will be done later.

        It is gone when this returns; what it left behind follows.
        """
        return await self._order(RemoveWorkload(workload_id=job_id, principal=self._caller.principal), None) is not None

    async def _order(self, command: Command, wait: float | None) -> JobRecord | None:
        seconds = self._wait if wait is None else wait
        raw = await self._bus.order_json(command, self._caller.context, wait=seconds)
        return None if raw is None else JobRecord(raw)

    async def get(self, job_id: str) -> Workload:
        """Return a job; `UnavailableError` while its submit was not handled yet."""
        return (await self.show(job_id)).to_workload()

    async def show(self, job_id: str) -> JobRecord:
        """Do the same, and return it as it was written."""
        query = GetWorkload.model_construct(principal=self._caller.principal, workload_id=job_id)
        try:
            return JobRecord(await self._bus.ask_json(query))
        except NotFoundError:
            await self._refuse_if_pending(job_id)
            raise

    async def find(self, number: int) -> JobRecord:
        """Return the job of a number, as it was written."""
        query = FindWorkload.model_construct(principal=self._caller.principal, number=number)
        return JobRecord(await self._bus.ask_json(query))

    async def _refuse_if_pending(self, job_id: str) -> None:
        """Tell a job that is not there yet from one that never will be."""
        subject = subject_of(
            SubmitWorkload.model_construct(
                workload_id=job_id, principal=self._caller.principal, spec=JobSpec.model_construct()
            )
        )
        try:
            with translated("NATS"):
                found: Any = await self._bus.jetstream.get_last_msg("COMMANDS", subject, direct=True)
        except NoMessageError:
            return
        if Envelope.from_bytes(found.data).actor == self._caller.context.actor:
            raise UnavailableError(f"{job_id} was submitted and is not handled yet", retry_after=2.0)

    async def wait_for(self, job_id: str, until: Until, *, seconds: float) -> JobRecord:
        """Return the job as soon as *until* holds, or as it stands after *seconds*."""
        ends = time.monotonic() + seconds
        subject = event_subject("workload", about=job_id)
        async with watching(self._bus.connection, subject, self._closing) as watch:
            # Asked after the watch began: a move is either in the answer or in the news.
            record = await self.show(job_id)
            first = record.revision
            while not until.is_met(record, first) and await self._news(watch, until, ends):
                record = await self.show(job_id)
        return record

    async def _news(self, watch: Watch, until: Until, ends: float) -> bool:
        """Wait for a fact that may matter; say whether there was one."""
        while (left := ends - time.monotonic()) > 0 and not self._closing.is_set:
            fact = await watch.next(left)
            if fact and until.is_news(fact):
                return True
        return False

    async def explain(self, job_id: str) -> Explanation:
        """Return why a job is where it is."""
        try:
            query = ExplainWorkload(principal=self._caller.principal, workload_id=job_id)
            explanation: Explanation = await self._bus.ask(query)
        except NotFoundError:
            await self._refuse_if_pending(job_id)
            raise
        return explanation

    async def task(self, job_id: str, index: int) -> Task:
        """Return one task of an array."""
        query = GetTask(principal=self._caller.principal, workload_id=job_id, index=index)
        task: Task = await self._bus.ask(query)
        return task

    async def tasks(self, job_id: str, *, states: list[TaskState], limit: int, cursor: str | None) -> TaskPage:
        """Return some tasks of an array, by their number."""
        query = ListTasks(
            principal=self._caller.principal, workload_id=job_id, states=states, limit=limit, cursor=cursor
        )
        page: TaskPage = await self._bus.ask(query)
        return page

    async def history(self, job_id: str) -> History:
        """Return all moves of a job."""
        query = GetHistory(principal=self._caller.principal, workload_id=job_id)
        history: History = await self._bus.ask(query)
        return history

    async def glance(
        self, *, ids: list[str] | None = None, has_label: str | None = None, cursor: str | None = None
    ) -> GlancePage:
        """Return the few facts of up to a thousand jobs, newest first."""
        query = GlanceWorkloads(principal=self._caller.principal, ids=ids or [], has_label=has_label, cursor=cursor)
        page: GlancePage = await self._bus.ask(query)
        return page

    async def page(
        self,
        *,
        limit: int,
        cursor: str | None,
        labels: dict[str, str],
        states: list[WorkloadState] | None = None,
        owner: str | None = None,
        project: str | None = None,
        backend: str | None = None,
        name: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        schedule_id: str | None = None,
        batch_id: str | None = None,
        shared: bool | None = None,
        number: int | None = None,
    ) -> RecordPage:
        """Return some jobs, newest first."""
        query = ListWorkloads(
            principal=self._caller.principal,
            limit=limit,
            cursor=cursor,
            states=states or [],
            owner=owner,
            project=project,
            backend=backend,
            job_name=name,
            label=labels,
            created_after=created_after,
            created_before=created_before,
            schedule_id=schedule_id,
            batch_id=batch_id,
            shared=shared,
            number=number,
        )
        return RecordPage(await self._bus.ask_json(query))


def hash_of(wish: Model) -> str:
    """Return the same for the same wish, however its keys were ordered and whatever fields were added since."""
    said = wish.model_dump(mode="json", exclude_defaults=True)
    return sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
