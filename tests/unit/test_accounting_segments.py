"""Folding moves into segments, and segments into days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from contracts.events import WorkloadMoved
from services.accounting.segments import Part, Segment, fold, split
from tests.support.usage_events import GIB, NOON, closing_move, job, opening_move, plain_move

HOUR = 3_600_000_000
"""Microseconds."""


def parts_of(*moves: WorkloadMoved) -> list[Part]:
    changes = fold(enumerate(moves, start=1))
    both = changes.openings.keys() & changes.closings.keys()
    return [part for key in sorted(both) for part in split(Segment(changes.openings[key], changes.closings[key]))]


def test_a_segment_is_room_times_the_time_between_its_two_moves() -> None:
    (part,) = parts_of(
        opening_move(cpus=2, memory=4 * GIB, gpus=1, gpu_model="H200"),
        closing_move(at=NOON + timedelta(hours=1), cpu_seconds=5400, gpu_seconds=1800, memory_peak=3 * GIB),
    )
    assert (part.segments, part.wall_us, part.cpu_us, part.gpu_us) == (1, HOUR, 2 * HOUR, HOUR)
    assert (part.cpu_used_us, part.gpu_used_us) == (HOUR * 3 // 2, HOUR // 2)
    assert part.memory_mib_ms == 4 * 1024 * 3_600_000
    assert part.memory_peak == 3 * GIB
    assert (part.owner, part.project, part.backend, part.gpu_model) == ("ada", "tea", "local", "H200")
    assert (part.day, part.sequence) == (date(2026, 11, 21), 2)


def test_moves_that_say_nothing_of_room_change_nothing() -> None:
    assert not fold([(1, plain_move())])


def test_a_segment_that_is_open_does_not_count() -> None:
    assert parts_of(opening_move(1), closing_move(2)) == []


def test_attempts_of_one_workload_are_segments_of_their_own() -> None:
    parts = parts_of(
        opening_move(attempt=1, revision=3),
        closing_move(attempt=1, revision=5),
        opening_move(attempt=2, revision=6),
        closing_move(attempt=2, revision=8),
    )
    assert [(part.workload_id, part.attempt) for part in parts] == [(job(), 1), (job(), 2)]


def test_a_segment_that_ends_before_it_begins_has_no_length_but_keeps_what_was_used() -> None:
    (part,) = parts_of(opening_move(at=NOON), closing_move(at=NOON - timedelta(hours=2), cpu_seconds=7))
    assert (part.wall_us, part.cpu_us, part.memory_mib_ms) == (0, 0, 0)
    assert (part.cpu_used_us, part.day) == (7_000_000, NOON.date())


def test_one_move_that_opens_and_closes_began_as_long_before_as_was_measured() -> None:
    both = closing_move(at=NOON, wall_seconds=0.25).model_copy(update={"allocation": opening_move().allocation})
    (part,) = parts_of(both)
    assert part.wall_us == 250_000
    assert part.cpu_us == 500_000


def test_a_model_without_gpus_is_no_model() -> None:
    (part,) = parts_of(opening_move(gpus=0, gpu_model="H200"), closing_move())
    assert part.gpu_model == ""


def test_figures_that_no_meter_can_show_do_not_stop_the_ledger() -> None:
    (part,) = parts_of(
        opening_move(cpus=float("inf"), memory=2**62, gpus=-1),
        closing_move(cpu_seconds=float("nan"), gpu_seconds=-3.0, memory_peak=None),
    )
    assert (part.cpu_us, part.cpu_used_us, part.gpu_us, part.gpu_used_us, part.memory_peak) == (0, 0, 0, 0, 0)
    assert part.memory_mib_ms < 2**63


def test_a_segment_over_midnight_is_shared_by_time() -> None:
    late = datetime(2026, 11, 21, 23, tzinfo=UTC)
    first, second = parts_of(
        opening_move(at=late, cpus=1), closing_move(at=late + timedelta(hours=4), cpu_seconds=4000, memory_peak=5)
    )
    assert (first.day, first.segments, first.wall_us, first.cpu_used_us) == (
        date(2026, 11, 21), 1, HOUR, 1_000_000_000,
    )  # fmt: skip
    assert (second.day, second.segments, second.wall_us, second.cpu_used_us) == (
        date(2026, 11, 22), 0, 3 * HOUR, 3_000_000_000,
    )  # fmt: skip
    assert (first.memory_peak, second.memory_peak) == (5, 5)


def test_a_segment_that_ends_at_midnight_is_not_in_the_next_day() -> None:
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    assert [p.day for p in parts_of(opening_move(at=NOON), closing_move(at=midnight))] == [NOON.date()]
    assert [p.day for p in parts_of(opening_move(at=midnight), closing_move(at=midnight))] == [midnight.date()]


def test_days_are_those_of_utc_wherever_the_clock_hangs() -> None:
    tokyo = timezone(timedelta(hours=9))
    start = datetime(2026, 11, 22, 8, tzinfo=tokyo)
    parts = parts_of(opening_move(at=start), closing_move(at=start + timedelta(hours=2)))
    assert [(part.day, part.wall_us) for part in parts] == [
        (date(2026, 11, 21), HOUR),
        (date(2026, 11, 22), HOUR),
    ]


moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@st.composite
def runs(draw: st.DrawFn) -> list[WorkloadMoved]:
    """A valid list: a few workloads with attempts that opened, and mostly closed."""
    moves: list[WorkloadMoved] = []
    for number in range(draw(st.integers(1, 4))):
        revision = 1
        for attempt in range(1, draw(st.integers(1, 3)) + 1):
            start = draw(moments)
            moves.append(plain_move(number, revision=revision + 1))
            moves.append(
                opening_move(number, attempt=attempt, revision=revision + 2, at=start, cpus=draw(st.floats(0, 256)))
            )
            if draw(st.booleans()):
                end = start + draw(st.timedeltas(timedelta(hours=-1), timedelta(days=5)))
                moves.append(closing_move(number, attempt=attempt, revision=revision + 3, at=end))
            revision += 3
    return moves


@given(runs(), st.data())
def test_neither_order_nor_repetition_changes_what_comes_out(moves: list[WorkloadMoved], data: st.DataObject) -> None:
    entries = list(enumerate(moves, start=1))
    again = data.draw(st.lists(st.sampled_from(entries), max_size=5))
    assert fold(data.draw(st.permutations(entries + again))) == fold(entries)


@given(
    moments,
    st.timedeltas(timedelta(0), timedelta(days=40)),
    st.floats(0, 1024),
    st.integers(0, 2**41),
    st.floats(0, 1e8),
)
def test_the_parts_add_up_to_the_whole_exactly(
    start: datetime, length: timedelta, cpus: float, memory: int, used: float
) -> None:
    parts = parts_of(
        opening_move(at=start, cpus=cpus, memory=memory, gpus=3),
        closing_move(at=start + length, cpu_seconds=used, gpu_seconds=used),
    )
    wall = length // timedelta(microseconds=1)
    assert sum(part.wall_us for part in parts) == wall
    assert sum(part.cpu_us for part in parts) == round(cpus * wall)
    assert sum(part.cpu_used_us for part in parts) == round(used * 1_000_000)
    assert sum(part.gpu_us for part in parts) == 3 * wall
    assert sum(part.memory_mib_ms for part in parts) == round(memory * wall / (2**20 * 1000))
    assert sum(part.segments for part in parts) == 1
    assert all(0 <= part.wall_us <= 24 * HOUR and part.cpu_us >= 0 for part in parts)
    days = [part.day for part in parts]
    assert days == [start.date() + timedelta(days=n) for n in range(len(days))]
