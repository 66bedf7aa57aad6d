"""The job workflow's decisions over time, with time that skips."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from contracts.states import Reason, WorkloadState
from services.scheduler.workflows.job import JobWorkflow
from services.scheduler.workflows.rules import backoff_before
from services.scheduler.workflows.words import AttemptEnd, AttemptRef, Cancellation, Withdrawal
from tests.support.calls import Act, Calls, Handle
from tests.support.skipping import running_job, skipping_time


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server whose time skips; one for all tests of this file."""
    async with skipping_time() as environment:
        yield environment


_running = running_job


def _ends(*reasons: Reason, exit_code: int = 1) -> Act:
    async def end(handle: Handle, ref: AttemptRef) -> None:
        reason = reasons[min(ref.attempt, len(reasons)) - 1]
        code = 0 if reason is Reason.SUBMITTED else exit_code
        shown = Reason.EXITED if reason is Reason.SUBMITTED else reason
        await handle.signal(JobWorkflow.ended, AttemptEnd(attempt=ref.attempt, reason=shown, exit_code=code))

    return end


async def _never(_handle: Handle, _ref: AttemptRef) -> None:
    """The backend says nothing."""


SUCCESS = Reason.SUBMITTED
"""Stands for an exit with 0 in `_ends`."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_retries_wait_longer_each_time_and_then_give_up(environment: WorkflowEnvironment) -> None:
    calls = Calls(_ends(Reason.EXITED))
    async with _running(environment, calls, max_retries=3, backoff=600.0) as handle:
        started = await environment.get_current_time()
        result = await handle.result()
        passed = await environment.get_current_time() - started
    assert (result.state, calls.attempts) == (WorkloadState.FAILED, [1, 2, 3, 4])
    assert timedelta(minutes=70) <= passed <= timedelta(minutes=75)


async def test_lost_attempts_cost_no_retry_but_not_for_ever(environment: WorkflowEnvironment) -> None:
    calls = Calls(_ends(Reason.LOST))
    async with _running(environment, calls) as handle:
        result = await handle.result()
    assert result.state is WorkloadState.LOST
    assert len(calls.attempts) == 6


async def test_what_was_not_found_before_it_was_handed_over_is_looked_up_and_not_lost(
    environment: WorkflowEnvironment,
) -> None:
    early: list[int] = []

    async def hand_over_late(handle: Handle, ref: AttemptRef) -> None:
        await _ends(Reason.LOST)(handle, ref)
        await _ends(Reason.LOST)(handle, ref)
        await asyncio.sleep(0.3)
        early.extend(calls.look_ups)

    calls = Calls(hand_over_late, lost=False, on_look_up=_ends(SUCCESS))
    async with _running(environment, calls) as handle:
        result = await handle.result()
    assert (result.state, calls.attempts, early, calls.look_ups) == (WorkloadState.SUCCEEDED, [1], [], [1])


async def test_an_interrupted_attempt_runs_again_at_once(environment: WorkflowEnvironment) -> None:
    calls = Calls(_ends(Reason.INTERRUPTED, SUCCESS))
    async with _running(environment, calls) as handle:
        assert (await handle.result()).state is WorkloadState.SUCCEEDED
    assert calls.attempts == [1, 2]


@pytest.mark.parametrize("reason", [Reason.STAGING, Reason.REFUSED])
async def test_what_another_attempt_would_only_repeat_is_not_retried(
    environment: WorkflowEnvironment, reason: Reason
) -> None:
    calls = Calls(_ends(reason))
    async with _running(environment, calls, max_retries=3) as handle:
        assert (await handle.result()).state is WorkloadState.FAILED
    assert calls.attempts == [1]


async def test_a_refused_placement_fails_with_its_reason(environment: WorkflowEnvironment) -> None:
    calls = Calls(_never, refuse="no room for a whale")
    async with _running(environment, calls) as handle:
        result = await handle.result()
    assert (result.state, result.message) == (WorkloadState.FAILED, "no room for a whale")


async def test_a_cancel_is_repeated_until_the_backend_says_gone(environment: WorkflowEnvironment) -> None:
    async def cancel_twice(handle: Handle, _ref: AttemptRef) -> None:
        await handle.signal(JobWorkflow.cancel, Cancellation(message="enough"))
        await handle.signal(JobWorkflow.cancel, Cancellation(message="again"))

    calls = Calls(cancel_twice, gone=False)
    async with _running(environment, calls) as handle:
        result = await handle.result()
    assert (result.state, result.message, calls.cancels) == (WorkloadState.CANCELED, "enough", 2)


async def test_a_cancel_that_takes_long_goes_on_in_a_fresh_history_without_another_submit(
    environment: WorkflowEnvironment,
) -> None:
    async def cancel(handle: Handle, _ref: AttemptRef) -> None:
        await handle.signal(JobWorkflow.cancel, Cancellation(message="enough"))

    calls = Calls(cancel, gone=False)
    async with _running(environment, calls, continue_after=1) as handle:
        result = await handle.result()
        assert (await environment.client.get_workflow_handle(handle.id).describe()).run_id != handle.result_run_id
    assert (result.state, result.message) == (WorkloadState.CANCELED, "enough")
    assert (calls.attempts, calls.cancels) == ([1], 2)


async def test_an_overrun_is_still_one_after_going_on_in_a_fresh_history(environment: WorkflowEnvironment) -> None:
    async def run_on(handle: Handle, ref: AttemptRef) -> None:
        await handle.signal(JobWorkflow.runs, ref.attempt)

    calls = Calls(run_on, gone=False)
    async with _running(environment, calls, walltime=60.0, continue_after=1) as handle:
        result = await handle.result()
    assert result.state is WorkloadState.FAILED
    assert (calls.attempts, calls.cancels, calls.moves[-1].reason) == ([1], 2, Reason.WALLTIME)


async def test_a_job_that_ended_well_before_the_cancel_has_succeeded(environment: WorkflowEnvironment) -> None:
    async def race(handle: Handle, ref: AttemptRef) -> None:
        await handle.signal(JobWorkflow.cancel, Cancellation())
        await _ends(SUCCESS)(handle, ref)

    calls = Calls(race)
    async with _running(environment, calls) as handle:
        assert (await handle.result()).state is WorkloadState.SUCCEEDED


async def test_a_cancel_cuts_the_pause_between_attempts_short(environment: WorkflowEnvironment) -> None:
    async def fail_then_cancel(handle: Handle, ref: AttemptRef) -> None:
        await _ends(Reason.EXITED)(handle, ref)
        await handle.signal(JobWorkflow.cancel, Cancellation(message="no more"))

    calls = Calls(fail_then_cancel)
    async with _running(environment, calls, max_retries=5, backoff=3600.0) as handle:
        result = await handle.result()
    assert result.state in {WorkloadState.CANCELED, WorkloadState.FAILED}
    assert calls.attempts == [1]


async def test_an_attempt_that_overruns_its_walltime_is_ended_from_here(environment: WorkflowEnvironment) -> None:
    async def run_on(handle: Handle, ref: AttemptRef) -> None:
        await handle.signal(JobWorkflow.runs, ref.attempt)

    calls = Calls(run_on)
    async with _running(environment, calls, walltime=60.0) as handle:
        result = await handle.result()
    assert result.state is WorkloadState.FAILED
    assert (calls.cancels, calls.moves[-1].reason) == (1, Reason.WALLTIME)


async def test_a_held_job_does_nothing_until_it_is_started(environment: WorkflowEnvironment) -> None:
    calls = Calls(_ends(SUCCESS))
    async with _running(environment, calls, hold=True) as handle:
        await environment.sleep(timedelta(days=30))
        assert not calls.attempts
        await handle.signal(JobWorkflow.start)
        await handle.result()
    assert [move.state for move in calls.moves] == [WorkloadState.HELD, WorkloadState.SUCCEEDED]


async def test_the_backoff_doubles_up_to_an_hour() -> None:
    assert [backoff_before(attempt, 5.0) for attempt in (2, 3, 4)] == [5.0, 10.0, 20.0]
    assert backoff_before(60, 5.0) == 3600.0


async def test_what_no_backend_begins_with_goes_from_one_to_the_next_and_costs_no_retry(
    environment: WorkflowEnvironment,
) -> None:
    async def end_the_third(handle: Handle, ref: AttemptRef) -> None:
        if ref.attempt == 3:
            await _ends(SUCCESS)(handle, ref)

    calls = Calls(end_the_third, withdrawals=[Withdrawal.GONE, Withdrawal.ENDING])
    async with _running(environment, calls, continue_after=1) as handle:
        result = await handle.result()
    assert (result.state, calls.attempts, calls.cancels) == (WorkloadState.SUCCEEDED, [1, 2, 3], 0)
    assert [ref.tried for ref in calls.refs] == [[], ["test-1"], ["test-1", "test-2"]]
    assert "did not begin with it in 20 s" in calls.refs[1].message


async def test_what_was_begun_after_all_or_has_no_better_place_stays(environment: WorkflowEnvironment) -> None:
    seen: list[int] = []

    async def end_when_begun(handle: Handle, ref: AttemptRef) -> None:
        seen.append(ref.attempt)
        if len(seen) == 2:
            await _ends(SUCCESS)(handle, ref)

    calls = Calls(end_when_begun, withdrawals=[Withdrawal.STAYS, Withdrawal.STAYS, Withdrawal.BEGUN])
    async with _running(environment, calls) as handle:
        result = await handle.result()
    assert (result.state, calls.attempts) == (WorkloadState.SUCCEEDED, [1])


async def test_a_cancel_ends_the_patience(environment: WorkflowEnvironment) -> None:
    async def cancel(handle: Handle, _ref: AttemptRef) -> None:
        await handle.signal(JobWorkflow.cancel, Cancellation(message="enough"))

    calls = Calls(cancel, withdrawals=[Withdrawal.GONE])
    async with _running(environment, calls) as handle:
        result = await handle.result()
    assert (result.state, calls.attempts, calls.cancels) == (WorkloadState.CANCELED, [1], 1)


async def test_what_one_backend_refuses_goes_to_another_and_costs_no_retry(environment: WorkflowEnvironment) -> None:
    refused = {"refused": True, "others": True, "message": "no such partition"}
    calls = Calls(_ends(SUCCESS), answers=[refused, refused])
    async with _running(environment, calls, continue_after=1) as handle:
        result = await handle.result()
    assert (result.state, calls.attempts) == (WorkloadState.SUCCEEDED, [1, 2, 3])
    assert [ref.refused for ref in calls.refs] == [[], ["test-1"], ["test-1", "test-2"]]
    assert calls.refs[1].message == "attempt 1: test-1 refuses it: no such partition"


async def test_what_all_refuse_fails_with_the_last_reason(environment: WorkflowEnvironment) -> None:
    refused = {"refused": True, "message": "too wide", "others": True}
    calls = Calls(_never, answers=[refused, {**refused, "others": False, "message": "too long"}])
    async with _running(environment, calls, max_retries=3) as handle:
        result = await handle.result()
    assert (result.state, result.message, calls.attempts) == (WorkloadState.FAILED, "too long", [1, 2])
    assert calls.moves[-1].reason is Reason.REFUSED


async def test_an_attempt_that_ended_refused_before_it_began_goes_elsewhere(environment: WorkflowEnvironment) -> None:
    calls = Calls(_ends(Reason.REFUSED, SUCCESS), answers=[{"others": True}])
    async with _running(environment, calls) as handle:
        result = await handle.result()
    assert (result.state, calls.attempts, calls.refs[1].refused) == (WorkloadState.SUCCEEDED, [1, 2], ["test-1"])


async def test_what_had_begun_is_not_run_elsewhere_when_it_is_refused(environment: WorkflowEnvironment) -> None:
    async def begin_and_refuse(handle: Handle, ref: AttemptRef) -> None:
        await handle.signal(JobWorkflow.runs, ref.attempt)
        await asyncio.sleep(0.2)
        await _ends(Reason.REFUSED)(handle, ref)

    calls = Calls(begin_and_refuse, answers=[{"others": True}])
    async with _running(environment, calls) as handle:
        result = await handle.result()
    assert (result.state, calls.attempts) == (WorkloadState.FAILED, [1])


async def test_while_no_backend_takes_work_it_is_asked_again_and_a_cancel_ends_that(
    environment: WorkflowEnvironment,
) -> None:
    nobody = {"backend": None, "later": 10.0}
    calls = Calls(_ends(SUCCESS), answers=[nobody, nobody])
    async with _running(environment, calls, continue_after=1) as handle:
        result = await handle.result()
    assert (result.state, calls.attempts) == (WorkloadState.SUCCEEDED, [1, 1, 1])
    calls = Calls(_never, answers=[nobody] * 1000)
    async with _running(environment, calls) as handle:
        await environment.sleep(timedelta(seconds=25))
        await handle.signal(JobWorkflow.cancel, Cancellation(message="enough"))
        assert (await handle.result()).state is WorkloadState.CANCELED
