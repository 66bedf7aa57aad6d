"""What becomes of a task that ended, and which tasks go next: decided without anything running."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.arrays import ArraySpec
from contracts.events import WorkloadTasksMoved
from contracts.ranges import Ranges
from contracts.states import Reason
from contracts.tasks import TaskCounts, TaskFact, TaskState
from contracts.workloads import Allocation, Usage
from services.accounting.batches import parts_of_batch
from services.scheduler.arrays.bundling import Room, room_for
from services.scheduler.arrays.verdicts import Retrying, Standing, Verdict, judge
from services.scheduler.backends.base import Portions

S = TaskState
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _fact(state: TaskState, reason: Reason = Reason.EXITED) -> TaskFact:
    return TaskFact(index=1, state=state, reason=reason)


def test_what_runs_on_another_backend_takes_no_place_but_counts_as_running() -> None:
    tasks = Ranges.first(100)
    assert room_for(ArraySpec(count=100), tasks, [None] * 16, LOCAL).tasks == 0
    assert room_for(ArraySpec(count=100), tasks, [None] * 16, LOCAL, 16).sizes == (7,) * 16
    narrow = ArraySpec(count=100, max_running=3)
    assert room_for(narrow, tasks, [1, 1, 1], LOCAL, 3).tasks == 0
    assert room_for(narrow, tasks, [1, 1], LOCAL, 2).shares == (1,)


@pytest.mark.parametrize(
    ("fact", "task", "expected"),
    [
        (_fact(S.SUCCEEDED), Standing(1), Verdict(S.SUCCEEDED)),
        (_fact(S.FAILED), Standing(1), Verdict(S.FAILED, again=True, pause=1.0)),
        (_fact(S.FAILED), Standing(2), Verdict(S.FAILED, again=True, pause=2.0)),
        (_fact(S.FAILED), Standing(3), Verdict(S.FAILED)),
        (_fact(S.FAILED), Standing(3, blameless=1), Verdict(S.FAILED, again=True, blameless=1, pause=2.0)),
        (_fact(S.FAILED), Standing(1, canceling=True), Verdict(S.FAILED)),
        (_fact(S.FAILED, Reason.STAGING), Standing(1), Verdict(S.FAILED)),
        (_fact(S.FAILED, Reason.REFUSED), Standing(1), Verdict(S.FAILED)),
        (_fact(S.CANCELED, Reason.CANCELED), Standing(1, canceling=True), Verdict(S.CANCELED)),
        # Its bundle was taken back for the sake of another task: it is not to blame.
        (_fact(S.CANCELED, Reason.CANCELED), Standing(1), Verdict(S.LOST, again=True, blameless=1)),
        (_fact(S.LOST, Reason.LOST), Standing(5, blameless=4), Verdict(S.LOST, again=True, blameless=5)),
        (_fact(S.LOST, Reason.LOST), Standing(6, blameless=5), Verdict(S.LOST, blameless=6)),
        (_fact(S.LOST, Reason.LOST), Standing(2, canceling=True), Verdict(S.CANCELED)),
    ],
)
def test_the_end_of_an_attempt_is_judged(fact: TaskFact, task: Standing, expected: Verdict) -> None:
    assert judge(fact, task, Retrying(max=2, backoff=1.0)) == expected


LOCAL = Portions()


@given(
    total=st.integers(1, 100_000),
    most=st.one_of(st.none(), st.integers(1, 100_000)),
    taken=st.lists(st.integers(1, 50), max_size=20),
)
def test_what_goes_out_keeps_to_the_window_and_to_what_may_run_at_once(
    total: int, most: int | None, taken: list[int]
) -> None:
    array = ArraySpec(count=total, max_running=most)
    shares: list[int | None] = [None if most is None else share for share in taken]
    room = room_for(array, Ranges.first(total), shares, LOCAL)
    assert len(room.sizes) == len(room.shares) <= max(0, LOCAL.window - len(taken))
    if most is None:
        assert all(1 <= size <= LOCAL.largest for size in room.sizes)
    else:
        given_out = sum(share or 0 for share in room.shares)
        assert given_out <= max(0, most - sum(taken))
        if len(taken) < LOCAL.window:
            assert given_out == max(0, most - sum(taken))


def test_few_tasks_are_spread_and_many_go_in_large_bundles() -> None:
    assert room_for(ArraySpec(count=8), Ranges.first(8), [], LOCAL).sizes[:8] == (1,) * 8
    sizes = room_for(ArraySpec(count=10_000), Ranges.first(10_000), [], LOCAL).sizes
    assert sizes == (LOCAL.largest,) * LOCAL.window


def test_a_cluster_may_like_each_task_as_a_native_job() -> None:
    alone = Portions(window=500, largest=1)
    assert room_for(ArraySpec(count=10_000), Ranges.first(10_000), [None] * 100, alone).sizes == (1,) * 400
    assert room_for(ArraySpec(count=9, max_running=3), Ranges.first(9), [1], alone) == Room((1, 1), (1, 1))


def _batch(*tasks: TaskFact, gpus: int = 0) -> WorkloadTasksMoved:
    return WorkloadTasksMoved(
        workload_id="job-" + "0" * 32,
        owner="ada",
        revision=3,
        batch=7,
        at=NOON,
        allocation=Allocation(backend="local", cpus=0.5, memory=2**20, gpus=gpus, gpu_model="a100" if gpus else ""),
        tasks=list(tasks),
        counts=TaskCounts(total=3),
    )


def _ran(index: int, start: datetime, seconds: float, **more: object) -> TaskFact:
    usage = Usage(wall_seconds=seconds, cpu_seconds=seconds / 2, memory_peak=index * 1000)
    return TaskFact(
        index=index,
        state=S.SUCCEEDED,
        started_at=start,
        finished_at=start + timedelta(seconds=seconds),
        usage=usage,
    ).model_copy(update=more)


def test_a_batch_is_billed_as_the_sum_of_its_tasks() -> None:
    running = TaskFact(index=9, state=S.RUNNING, started_at=NOON)
    (part,) = parts_of_batch(5, _batch(_ran(1, NOON, 10), _ran(2, NOON, 20), running))
    assert (part.segments, part.wall_us, part.cpu_us, part.cpu_used_us) == (2, 30_000_000, 15_000_000, 15_000_000)
    assert (part.memory_peak, part.sequence) == (2000, 5)
    assert part.attempt < 0


def test_a_batch_is_split_by_day_and_by_model_of_gpu() -> None:
    midnight = NOON + timedelta(hours=12)
    over = _ran(1, midnight - timedelta(seconds=5), 10)
    other = _ran(2, NOON, 10, gpu_model="h100")
    parts = parts_of_batch(5, _batch(over, other, gpus=1))
    assert sum(part.wall_us for part in parts) == 20_000_000
    assert sorted((part.gpu_model, part.day.day, part.segments) for part in parts) == [
        ("a100", 20, 1),
        ("a100", 21, 0),
        ("h100", 20, 1),
    ]
    assert len({(part.attempt, part.day) for part in parts}) == len(parts)
