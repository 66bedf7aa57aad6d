"""How a workload moves inside one transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Envelope
from contracts.errors import ConflictError
from contracts.events import WorkloadMoved
from contracts.ids import workload_id
from contracts.principals import Principal
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from contracts.workloads import Allocation, Kind, Usage
from services.chassis.unit import Work
from services.scheduler.context import workload_context
from services.scheduler.entrance import new_row
from services.scheduler.journey import Journey
from services.scheduler.records import Record

S = WorkloadState
START = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = Allocation(backend="local", cpus=2)


def _journey(**row: Any) -> tuple[Journey, Work]:
    job = workload_id()
    work = Work(cast("AsyncConnection", None), workload_context(job), "scheduler")
    fresh: Record = new_row(job, Principal(subject="ada").subject, JobSpec(argv=["true"]), [], Kind.JOB, "", None)
    return Journey(work, {**fresh, "created_at": START, "updated_at": START, **row}), work


def _events(work: Work) -> list[WorkloadMoved]:
    return [Envelope.from_bytes(row.payload).unwrap(WorkloadMoved) for row in work.rows]


def test_a_move_that_the_table_does_not_have_is_refused() -> None:
    journey, work = _journey(state="succeeded")
    with pytest.raises(ConflictError):
        journey.move(S.QUEUED, at=START, reason=Reason.RETRY)
    assert not work.rows


def test_every_move_counts_and_is_told() -> None:
    journey, work = _journey()
    journey.move(S.QUEUED, at=START, reason=Reason.PLACED, backend="local", native_id="n")
    journey.move(S.RUNNING, at=START, reason=Reason.STARTED, allocation=ROOM)
    told = _events(work)
    assert [(event.revision, event.old, event.new) for event in told] == [
        (2, S.ACCEPTED, S.QUEUED),
        (3, S.QUEUED, S.RUNNING),
    ]
    assert told[1].allocation == ROOM
    assert {event.native_id for event in told} == {"n"}


def test_time_never_runs_backwards_in_a_history() -> None:
    journey, work = _journey()
    journey.move(S.QUEUED, at=START + timedelta(seconds=5), reason=Reason.PLACED)
    journey.move(S.RUNNING, at=START, reason=Reason.STARTED)
    assert _events(work)[1].at == START + timedelta(seconds=5)


def test_room_is_taken_once_and_given_back_once() -> None:
    journey, work = _journey(state="queued")
    journey.move(S.STARTING, at=START, reason=Reason.STARTED, allocation=ROOM)
    journey.move(S.RUNNING, at=START, reason=Reason.STARTED, allocation=ROOM)
    journey.move(S.FINISHING, at=START, reason=Reason.EXITED, usage=Usage(cpu_seconds=3), exit_code=0)
    journey.move(S.SUCCEEDED, at=START, reason=Reason.EXITED)
    told = _events(work)
    assert [event.allocation is not None for event in told] == [True, False, False, False]
    assert [event.usage.cpu_seconds if event.usage else None for event in told] == [None, None, 3.0, None]


def test_what_was_never_started_gives_nothing_back() -> None:
    journey, work = _journey(state="queued")
    journey.move(S.CANCELED, at=START, reason=Reason.CANCELED)
    assert _events(work)[0].usage is None


def test_an_attempt_that_vanished_is_billed_with_what_was_last_heard() -> None:
    journey, work = _journey(state="queued")
    journey.move(S.RUNNING, at=START, reason=Reason.STARTED, allocation=ROOM)
    journey.note(usage=Usage(cpu_seconds=7).model_dump(mode="json"))
    journey.move(S.LOST, at=START + timedelta(minutes=1), reason=Reason.LOST)
    closing = _events(work)[1].usage
    assert closing
    assert closing.cpu_seconds == 7


def test_an_attempt_of_which_nothing_was_heard_is_billed_by_the_clock() -> None:
    journey, work = _journey(state="queued")
    journey.move(S.RUNNING, at=START, reason=Reason.STARTED, allocation=ROOM)
    journey.move(S.LOST, at=START + timedelta(minutes=1), reason=Reason.LOST)
    closing = _events(work)[1].usage
    assert closing
    assert closing.wall_seconds == 60


def test_a_new_attempt_starts_with_empty_hands() -> None:
    journey, _ = _journey(state="queued")
    journey.move(S.RUNNING, at=START, reason=Reason.STARTED, allocation=ROOM)
    journey.move(S.FINISHING, at=START, reason=Reason.EXITED, usage=Usage(), exit_code=1)
    journey.move(S.QUEUED, at=START, reason=Reason.RETRY, attempt=2)
    assert [journey.row[name] for name in ("allocation", "usage", "exit_code", "attempt")] == [None, None, None, 2]
