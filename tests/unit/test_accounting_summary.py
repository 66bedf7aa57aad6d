"""Summaries and their differences."""

from __future__ import annotations

from contracts.usage import UsageRow
from services.accounting.summary import Group, Sums, differences, summarize, without_days

HOUR = 3_600_000_000
ADA = Group(owner="ada", project="tea", backend="local", gpu_model="", day="2026-11-21")
BEN = Group(owner="ben", backend="local", gpu_model="", day="2026-11-21")


def test_figures_are_in_hours() -> None:
    figures = Sums(2, HOUR, 2 * HOUR, HOUR // 2, HOUR, HOUR // 4, 1024 * 3_600_000 * 3, 77).to_figures()
    assert figures.model_dump() == {
        "segments": 2,
        "wall_hours": 1.0,
        "cpu_hours": 2.0,
        "cpu_hours_used": 0.5,
        "gpu_hours": 1.0,
        "gpu_hours_used": 0.25,
        "memory_gib_hours": 3.0,
        "memory_peak": 77,
    }


def test_rows_are_in_order_and_the_total_is_of_all() -> None:
    sums = {
        Group(owner="ben"): Sums(1, HOUR, memory_peak=5),
        Group(): Sums(1, HOUR, memory_peak=9),
        Group(owner="ada"): Sums(2, HOUR, memory_peak=7),
    }
    summary = summarize(sums, open_segments=3, sequence=9)
    assert [row.owner for row in summary.rows] == [None, "ada", "ben"]
    assert isinstance(summary.rows[0], UsageRow)
    assert (summary.total.segments, summary.total.wall_hours, summary.total.memory_peak) == (4, 3.0, 9)
    assert (summary.open_segments, summary.sequence) == (3, 9)


def test_nothing_sums_up_to_nothing() -> None:
    summary = summarize({}, open_segments=0, sequence=0)
    assert summary.rows == []
    assert summary.total.segments == 0


def test_days_can_be_added_up() -> None:
    tomorrow = Group(owner="ada", project="tea", backend="local", gpu_model="", day="2026-11-22")
    found = without_days({ADA: Sums(1, 10), tomorrow: Sums(0, 5)})
    assert found == {Group(owner="ada", project="tea", backend="local", gpu_model=""): Sums(1, 15)}


def test_equal_sums_have_no_differences() -> None:
    assert differences({ADA: Sums(1, 10)}, {ADA: Sums(1, 10)}) == []


def test_differences_name_the_group_and_both_figures() -> None:
    assert differences({ADA: Sums(1, HOUR)}, {ADA: Sums(1, 2 * HOUR)}) == [
        "owner ada, project tea, backend local, day 2026-11-21: wall_hours is 1.0 in the ledger, 2.0 by the event log"
    ]


def test_a_group_that_only_one_side_knows_is_a_difference() -> None:
    assert differences({ADA: Sums(1)}, {BEN: Sums(1)}) == [
        "owner ada, project tea, backend local, day 2026-11-21: in the ledger, but not in the event log",
        "owner ben, backend local, day 2026-11-21: in the event log, but not in the ledger",
    ]


def test_very_many_differences_are_counted() -> None:
    many = {Group(owner=f"user{number:04}"): Sums(1) for number in range(150)}
    found = differences(many, {})
    assert len(found) == 101
    assert found[-1] == "… and 50 more"
