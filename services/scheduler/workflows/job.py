"""The life of a job. The workflow decides over time; its activities do; the workload's table and events tell."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.states import Reason, WorkloadState

    from .array import ArrayCourse
    from .calls import JobCalls
    from .rules import BACKEND, PATIENTLY, STATE, backoff_before
    from .words import (
        AttemptEnd,
        AttemptRef,
        Cancellation,
        Carried,
        Ending,
        JobInput,
        JobResult,
        Move,
        Recall,
        Submitted,
        Withdrawal,
        Withdrawn,
    )

__all__ = ["JobWorkflow"]

_CANCEL_AGAIN = timedelta(seconds=20)
"""The pause after which a backend that promised to end an attempt is asked again."""

_WALLTIME_GRACE = timedelta(minutes=2)
"""The runner ends an attempt at its walltime; this long after, we ask the backend ourselves."""

_LOST_ATTEMPTS = 5
"""How many attempts may get lost or be interrupted through no fault of the job."""

_OURS = frozenset({Reason.LOST, Reason.INTERRUPTED})
"""Ends for which the job is not to blame; they cost none of its retries."""

_FINAL = frozenset({Reason.CANCELED, Reason.REFUSED, Reason.STAGING})
"""Ends that another attempt would only repeat."""


@workflow.defn(name="job")
class JobWorkflow:
    """One workload of kind job, from acceptance to its end."""

    @workflow.init
    def __init__(self, job: JobInput) -> None:
        carried = job.carried or Carried(attempt=1, blameless=0)
        self._job = job
        self._released = not job.hold
        self._cancellation = carried.cancellation
        self._ends: dict[int, AttemptEnd] = {end.attempt: end for end in carried.ends}
        self._attempt = carried.attempt
        self._running = carried.running
        self._blameless = carried.blameless
        self._submitted = carried.submitted
        self._overran = carried.overran
        self._note = carried.note
        self._doubted: set[int] = set()
        self._passed_on = carried.passed_on
        self._tried = list(carried.tried)
        self._refused = list(carried.refused)
        self._others = False
        self._lost_attempts = carried.lost_attempts
        self._patience: float | None = None
        self._place = ""
        self._steps = 0
        self._array = ArrayCourse(job.workload_id)

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        """Run it to its end."""
        if job.hold and job.carried is None:
            await self._move(WorkloadState.HELD, Reason.HELD, "waits for a start")
            await workflow.wait_condition(lambda: self._released or self._cancellation is not None)
        while self._submitted or self._cancellation is None:
            if not self._submitted:
                over = await self._find_place()
                if over is not None:
                    return over
                if not self._submitted:
                    continue
            if job.array:
                return await self._see_array_through()
            if not await self._is_kept():
                self._pass_on()
                continue
            end = await self._wait_for_end()
            self._submitted = self._overran = False
            if self._is_turned_away(end):
                self._go_elsewhere(end.message)
                continue
            if self._is_over(end):
                return await self._conclude(end)
            self._note = await self._pause_before_next(end)
            self._tried = []
            self._count_step()
        assert self._cancellation is not None
        return await self._end(WorkloadState.CANCELED, Reason.CANCELED, self._cancellation.message)

    async def _find_place(self) -> JobResult | None:
        """Hand the attempt over, if a backend takes it; returns how the job ended, if it has."""
        submitted = await self._submit(self._note)
        if submitted.over is not None:
            return self._agree(submitted.over, submitted.message)
        if submitted.later is not None:
            await self._sleep(submitted.later)
        elif submitted.backend is None or (submitted.refused and not submitted.others):
            return await self._end(WorkloadState.FAILED, Reason.REFUSED, submitted.message)
        elif submitted.refused:
            self._go_elsewhere(submitted.message)
        else:
            self._submitted = True
            if submitted.end is not None:
                self._ends.setdefault(self._attempt, submitted.end)
        return None

    def _count_step(self) -> None:
        """Go on in a fresh history when this one has become long; what is known goes along."""
        self._steps += 1
        if self._steps < self._job.continue_after and not workflow.info().is_continue_as_new_suggested():
            return
        # Asked only here, so that short lives carry no mark; histories of release 0.1 are long and stay whole.
        if workflow.patched("continue-as-new"):
            self._continue_anew()

    def _continue_anew(self) -> None:
        carried = Carried(
            attempt=self._attempt,
            blameless=self._blameless,
            note=self._note,
            submitted=self._submitted,
            overran=self._overran,
            running=self._running,
            passed_on=self._passed_on,
            tried=self._tried,
            refused=self._refused,
            lost_attempts=self._lost_attempts,
            ends=[end for attempt, end in self._ends.items() if attempt >= self._attempt],
            cancellation=self._cancellation,
        )
        workflow.continue_as_new(self._job.model_copy(update={"carried": carried}))

    # --- signals: each takes one model, may come twice, and only notes what it heard ----------------------------

    @workflow.signal
    def cancel(self, cancellation: Cancellation) -> None:
        """End it: somebody wants that."""
        self._cancellation = self._cancellation or cancellation

    @workflow.signal
    def start(self) -> None:
        """Let a held job go."""
        self._released = True

    @workflow.signal(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def ended(self, end: AttemptEnd) -> None:
        """Take the end of an attempt, or of a bundle of an array; the first word counts."""
        if self._is_doubtful(end) and not await self._is_lost(end.attempt):
            return
        self._ends.setdefault(end.attempt, end)
        self._array.tell()

    @workflow.signal
    def recall(self, recall: Recall) -> None:
        """End some tasks of an array."""
        self._array.tell(recall)

    @workflow.signal
    def runs(self, attempt: int) -> None:
        """Note that an attempt has been running for a while, so that operators can filter and its time is watched."""
        if attempt == self._attempt and attempt not in self._ends:
            self._running = attempt
            workflow.upsert_search_attributes([STATE.value_set(WorkloadState.RUNNING)])

    def _is_doubtful(self, end: AttemptEnd) -> bool:
        # Asked only for what is said to be lost, so that other lives carry no mark.
        return end.reason is Reason.LOST and not self._job.array and workflow.patched("lost-is-looked-up")

    async def _is_lost(self, attempt: int) -> bool:
        """Look up what the watch did not find: it may have looked before the attempt was handed over."""
        if attempt in self._doubted:
            return False  # that is being found out
        self._doubted.add(attempt)
        await workflow.wait_condition(lambda: self._attempt > attempt or (self._attempt == attempt and self._submitted))
        gone = attempt not in self._ends and self._attempt == attempt and (await self._look_up_attempt()).gone
        self._doubted.discard(attempt)
        return gone

    # --- arrays -------------------------------------------------------------------------------------------------

    async def _see_array_through(self) -> JobResult:
        """Have the tasks of an array run; there is one attempt of the whole, and as many of each task as it needs."""
        end = await self._array.run(lambda: self._cancellation is not None, self._continue_anew, self._note_place)
        canceled = self._cancellation if end.state is WorkloadState.CANCELED else None
        message = "; ".join(filter(None, (canceled.message if canceled else "", end.message)))
        return await self._end(end.state, end.reason, message)

    def _note_place(self, backend: str) -> None:
        """Note where the tasks go now. Only activities that know it say so: older histories have nothing of it."""
        if self._place and backend != self._place:
            workflow.upsert_search_attributes([BACKEND.value_set(backend)])
        self._place = backend

    # --- steps --------------------------------------------------------------------------------------------------

    async def _submit(self, note: str) -> Submitted:
        submitted: Submitted = await workflow.execute_local_activity_method(
            JobCalls.submit_attempt,
            AttemptRef(
                workload_id=self._job.workload_id,
                attempt=self._attempt,
                message=note,
                backend=self._job.backend if self._attempt == 1 else None,
                tried=self._tried,
                refused=self._refused,
            ),
            **PATIENTLY,
        )
        if submitted.backend is not None:
            self._place, self._patience, self._others = submitted.backend, submitted.patience, submitted.others
            self._lost_attempts = submitted.lost_attempts
        told = self._job.backend if self._job.told and self._attempt == 1 else None
        if submitted.backend not in {None, told}:
            workflow.upsert_search_attributes(
                [STATE.value_set(WorkloadState.QUEUED), BACKEND.value_set(submitted.backend)]
            )
        return submitted

    async def _sleep(self, seconds: float) -> None:
        """Let some time pass in which no backend takes new work; a cancel cuts it short."""
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._cancellation is not None, timeout=timedelta(seconds=seconds))
        self._count_step()

    async def _is_kept(self) -> bool:
        """Wait for the backend to begin with the attempt while its patience lasts; False if it was taken back."""
        while self._patience is not None:
            with suppress(TimeoutError):
                await workflow.wait_condition(self._has_news, timeout=timedelta(seconds=self._patience))
            outcome = Withdrawal.BEGUN if self._has_news() else await self._withdraw_attempt()
            if outcome is Withdrawal.ENDING:
                with suppress(TimeoutError):
                    await workflow.wait_condition(lambda: self._attempt in self._ends, timeout=_CANCEL_AGAIN)
                end = self._ends.get(self._attempt)
                outcome = Withdrawal.GONE if end and end.reason is Reason.CANCELED else Withdrawal.ENDING
            if outcome is Withdrawal.GONE and self._cancellation is None:
                return False
            if outcome in {Withdrawal.GONE, Withdrawal.BEGUN}:
                break
        return True

    def _has_news(self) -> bool:
        attempt = self._attempt
        return attempt in self._ends or self._cancellation is not None or self._running == attempt

    async def _withdraw_attempt(self) -> Withdrawal:
        withdrawn: Withdrawn = await workflow.execute_local_activity_method(
            JobCalls.withdraw_attempt,
            AttemptRef(
                workload_id=self._job.workload_id, attempt=self._attempt, tried=self._tried, refused=self._refused
            ),
            **PATIENTLY,
        )
        return withdrawn.outcome

    def _pass_on(self) -> None:
        """Give the job to another backend, as it was not begun on this one."""
        self._tried.append(self._place)
        self._next_place(f"{self._place} did not begin with it in {self._patience:g} s")

    def _go_elsewhere(self, why: str) -> None:
        """Give the job to another backend, as this one will never run it."""
        self._refused.append(self._place)
        self._next_place(f"{self._place} refuses it: {why}")

    def _is_turned_away(self, end: AttemptEnd) -> bool:
        """Say whether a backend refused an attempt before it began, and another one could have it."""
        return end.reason is Reason.REFUSED and self._others and self._running != self._attempt

    def _next_place(self, why: str) -> None:
        """Begin the next attempt elsewhere; that costs the job nothing."""
        self._note = f"attempt {self._attempt}: {why}"
        self._attempt += 1
        self._passed_on += 1
        self._submitted = False
        self._count_step()

    async def _wait_for_end(self) -> AttemptEnd:
        """Wait for the last report of the present attempt; on a cancel see to it that one comes."""
        attempt = self._attempt
        await workflow.wait_condition(
            lambda: attempt in self._ends or self._cancellation is not None or self._running == attempt
        )
        if not self._overran:
            await self._watch_walltime(attempt)
        reason = Reason.WALLTIME if self._overran else Reason.CANCELED
        while attempt not in self._ends:
            if (await self._cancel_attempt()).gone:
                self._ends.setdefault(attempt, AttemptEnd(attempt=attempt, reason=reason))
                break
            with suppress(TimeoutError):
                await workflow.wait_condition(lambda: attempt in self._ends, timeout=_CANCEL_AGAIN)
            if attempt not in self._ends:
                self._count_step()
        return self._ends[attempt]

    async def _watch_walltime(self, attempt: int) -> None:
        """Wait on, but not for ever: the runner ends what runs too long, and if it does not, we do."""
        longest = timedelta(seconds=self._job.walltime) + _WALLTIME_GRACE
        if self._running == attempt:
            try:
                await workflow.wait_condition(
                    lambda: attempt in self._ends or self._cancellation is not None, timeout=longest
                )
            except TimeoutError:
                self._overran = True

    async def _cancel_attempt(self) -> Ending:
        ending: Ending = await workflow.execute_local_activity_method(
            JobCalls.cancel_attempt,
            AttemptRef(workload_id=self._job.workload_id, attempt=self._attempt),
            **PATIENTLY,
        )
        return ending

    async def _look_up_attempt(self) -> Ending:
        ending: Ending = await workflow.execute_local_activity_method(
            JobCalls.look_up_attempt,
            AttemptRef(workload_id=self._job.workload_id, attempt=self._attempt),
            **PATIENTLY,
        )
        return ending

    def _is_over(self, end: AttemptEnd) -> bool:
        """Decide whether this end is the end of the workload."""
        if self._cancellation is not None or end.reason in _FINAL:
            return True
        if end.reason in _OURS:
            self._blameless += 1
            most = _LOST_ATTEMPTS if self._lost_attempts is None else self._lost_attempts
            return self._blameless > most
        succeeded = end.reason is Reason.EXITED and end.exit_code == 0
        return succeeded or self._counted > self._job.max_retries

    @property
    def _counted(self) -> int:
        """Return how many attempts count against its retries."""
        return self._attempt - self._blameless - self._passed_on

    async def _pause_before_next(self, end: AttemptEnd) -> str:
        """Let some time pass before the next attempt; a cancel cuts it short. Returns why there is another."""
        self._attempt += 1
        why = f"attempt {end.attempt}: {end.message or end.reason.value}"
        pause = 0.0 if end.reason in _OURS else backoff_before(self._counted, self._job.backoff)
        if pause > 0:
            with suppress(TimeoutError):
                await workflow.wait_condition(lambda: self._cancellation is not None, timeout=timedelta(seconds=pause))
        return why

    async def _conclude(self, end: AttemptEnd) -> JobResult:
        """Say how the last attempt's end makes the workload end."""
        if end.reason is Reason.EXITED and end.exit_code == 0:
            if end.settled:
                return self._agree(WorkloadState.SUCCEEDED, end.message, end.exit_code)
            return await self._end(WorkloadState.SUCCEEDED, Reason.EXITED, end.message, end.exit_code)
        if end.reason is Reason.CANCELED or (self._cancellation is not None and end.reason in _OURS):
            why = (self._cancellation.message if self._cancellation else "") or end.message
            return await self._end(WorkloadState.CANCELED, Reason.CANCELED, why, end.exit_code)
        state = WorkloadState.LOST if end.reason in _OURS else WorkloadState.FAILED
        return await self._end(state, end.reason, end.message, end.exit_code)

    async def _end(
        self, state: WorkloadState, reason: Reason, message: str = "", exit_code: int | None = None
    ) -> JobResult:
        await self._move(state, reason, message, exit_code)
        return JobResult(state=state, attempts=self._attempt, exit_code=exit_code, message=message)

    def _agree(self, state: WorkloadState, message: str, exit_code: int | None = None) -> JobResult:
        """End as the workload did."""
        workflow.upsert_search_attributes([STATE.value_set(state)])
        return JobResult(state=state, attempts=self._attempt, exit_code=exit_code, message=message)

    async def _move(
        self, state: WorkloadState, reason: Reason, message: str = "", exit_code: int | None = None
    ) -> None:
        await workflow.execute_local_activity_method(
            JobCalls.move,
            Move(workload_id=self._job.workload_id, state=state, reason=reason, message=message, exit_code=exit_code),
            **PATIENTLY,
        )
        workflow.upsert_search_attributes([STATE.value_set(state)])
