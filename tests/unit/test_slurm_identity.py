"""Which line of Slurm's queue is which native job, also after a crash of its controller: recorded, and pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.states import Reason
from services.scheduler.backends.engines.base import Native, NativeState, Seen
from services.scheduler.backends.engines.slurm import calls
from services.scheduler.backends.engines.slurm.identity import array_of, native_id_of, number_of, submitted_of
from services.scheduler.backends.engines.slurm.register import Register
from services.scheduler.backends.engines.slurm.rows import Row

_TOLD = Path(__file__).parents[1] / "data" / "transcripts" / "slurm"
_BEFORE, _AFTER = 1795722854, 1795722856
"""When the jobs were submitted of which the two transcripts of the crash tell."""


def _queue(name: str) -> list[Row]:
    return [row for row in map(calls.parse_row, (_TOLD / f"{name}.txt").read_text().splitlines()) if row]


def _row(job: str, name: str, state: str = "RUNNING", at: int = 5, **more: int) -> Row:
    return Row(job, name, state, 0, more.get("restarts", 0), "n1", "None", submitted=at)


def _read(register: Register, rows: list[Row], *known: Native) -> dict[str, Seen]:
    """Look as the engine does, where no array is asked for its comment."""
    return register.read(rows, known).found


def _arrays() -> list[Row]:
    return [row for row in _queue("queue") if row.job.startswith("10")]


# --- a crash ---------------------------------------------------------------------------------------------------------


def _crashed() -> tuple[Register, list[Native]]:
    """Return what is known of the jobs that were there before the crash."""
    register = Register("s1", lambda: 0.0)
    register.note("1", _BEFORE, ["s1-kept-1", "s1-kept2-1"])
    register.note("3", _BEFORE, ["s1-lost-1", "s1-lost-1a", "s1-lost-1b", "s1-lost-1c"])
    register.note("5", _BEFORE, ["s1-wait-1", "s1-wait-1a"])
    found = _read(register, _queue("queue-before-crash"))
    register.read_vanished({}, found, 300)
    assert len(found) == 10
    return register, [Native(one.name, one.native_id) for one in found.values()]


def test_a_number_that_was_given_again_is_another_job() -> None:
    """The controller kept array 1, and gave 2 and 3 again: a job is an array now, and an array is a job."""
    register, known = _crashed()
    rows = _queue("queue-after-crash")
    assert register.strangers(rows, known) == {"2", "3"}
    register.learn(calls.parse_details(f"2|{_AFTER}|s1-new-1|s1 tasks s1-new-1 ,a,b\n3|{_AFTER}|s1-other-1|s1\n"))
    found = _read(register, rows, *known)
    assert {name: one.native_id for name, one in found.items()} == {
        "s1-kept-1": f"1_0@{_BEFORE}",
        "s1-kept2-1": f"1_1@{_BEFORE}",
        **{f"s1-new-1{word}": f"2_{index}@{_AFTER}" for index, word in enumerate(("", "a", "b"))},
        "s1-other-1": f"3@{_AFTER}",
    }


def test_what_a_crash_has_lost_was_taken_out_by_nobody() -> None:
    register, known = _crashed()
    found = _read(register, _queue("queue-after-crash"), *known)
    missing = {native.native_id: native.name for native in known if native.name not in found}
    assert {name[:7] for name in missing.values()} == {"s1-one-", "s1-lost", "s1-lone", "s1-wait"}
    assert register.read_vanished(missing, found, 300) == {}


def test_the_accounting_of_another_job_of_that_number_is_not_ours() -> None:
    rows = [
        _row("3_0", "s1-new-1", "COMPLETED", _AFTER),
        _row("3_0", "s1-lost-1", "NODE_FAIL", _BEFORE),
        _row("3_1", "s1-new-1", "COMPLETED", _AFTER),
    ]
    missing = {f"3_0@{_BEFORE}": "s1-lost-1", f"3_1@{_BEFORE}": "s1-lost-1a"}
    found = Register("s1").read_ended(rows, missing)
    assert {name: (one.native_id, one.ending) for name, one in found.items()} == {
        "s1-lost-1": (f"3_0@{_BEFORE}", Reason.LOST)
    }


def test_in_the_same_second_it_has_another_name() -> None:
    register = Register("s1")
    register.note("3", 5, ["s1-lost", "s1-lost-too"])
    row = _row("3_1", "s1-new")
    assert register.strangers([row], [Native("s1-lost-too", "3_1@5")]) == {"3"}
    register.learn(calls.parse_details("3|5|s1-new|s1 tasks s1-new ,-too\n"))
    assert list(_read(register, [row])) == ["s1-new-too"]


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_of_an_array_are_learned_from_its_comment() -> None:
    register, rows = Register("s1"), _arrays()
    assert register.strangers(rows, ()) == {"10"}
    register.learn(calls.parse_details("10|1795722010|s1-array-0|s1 tasks s1-array- 0,1,2,3,4,5\n" * 2))
    assert register.strangers(rows, ()) == set()
    assert sorted(_read(register, rows)) == [f"s1-array-{index}" for index in range(6)]


@pytest.mark.parametrize("native_id", ["10_3@1795722010", "10_3"], ids=["", "of an older version"])
def test_names_are_known_from_ids_where_a_comment_was_changed(native_id: str) -> None:
    register, rows = Register("s1"), _arrays()
    register.learn(calls.parse_details("10|1795722010|s1-array-0|somebody was here\n"))
    known = [Native("s1-array-3", native_id), Native("s1-array-4", "10_4@1795720000"), Native("s1-array-2", "11_2")]
    found = _read(register, rows, *known)
    assert [(seen.name, seen.native_id) for seen in found.values()] == [("s1-array-3", "10_3@1795722010")]


def test_what_was_put_into_the_queue_again_is_known_by_its_comment() -> None:
    """It has a new time."""
    register = Register("s1")
    register.note("6", 5, ["s1-a", "s1-b"])
    rows = [_row("6_0", "s1-a"), _row("6_1", "s1-a", "PENDING", 9, restarts=1)]
    assert register.strangers(rows, ()) == {"6"}
    register.learn(calls.parse_details("6|5|s1-a|s1 tasks s1- a,b\n6|9|s1-a|s1 tasks s1- a,b\n"))
    view = register.read(rows, [Native("s1-b", "6_1@5")])
    assert view.found["s1-b"].ending is Reason.INTERRUPTED
    assert view.hanging == {"6_1@9"}
    assert view.is_left(view.found["s1-b"])


def test_waiting_tasks_that_ended_together_have_one_line() -> None:
    register = Register("s1")
    register.note("6", 5, ["s1-a", "s1-b", "s1-c"])
    found = _read(register, [_row("6_0", "s1-a"), _row("6", "s1-a", "CANCELLED")])
    assert {name: (seen.state.value, seen.native_id) for name, seen in found.items()} == {
        "s1-a": ("running", "6_0@5"),
        "s1-b": ("ended", "6_1@5"),
        "s1-c": ("ended", "6_2@5"),
    }


def test_after_a_restart_of_ours_that_line_is_understood_too() -> None:
    register, row = Register("s1"), _row("6", "s1-a", "CANCELLED")
    assert register.strangers([row], [Native("s1-b", "6_1@5")]) == {"6"}
    register.learn(calls.parse_details("6|5|s1-a|s1 tasks s1- a,b\n"))
    assert sorted(_read(register, [row])) == ["s1-a", "s1-b"]


# --- twice the same name ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("RUNNING", "PENDING", "7@5"),
        ("PENDING", "RUNNING", "8@6"),
        ("PENDING", "PENDING", "8@6"),
        ("COMPLETED", "PENDING", "8@6"),
        ("PENDING", "CANCELLED", "8@6"),
        ("RUNNING", "RUNNING", "8@6"),
    ],
)
def test_of_two_of_one_name_one_is_kept(first: str, second: str, kept: str) -> None:
    """Nobody heard whether the first was taken, so it was started again: what we know is the second."""
    rows = [_row("7", "s1-a", first), _row("8", "s1-a", second, 6)]
    view = Register("s1").read(rows, [Native("s1-a", "8@6")])
    assert view.found["s1-a"].native_id == kept
    others = [row for row in rows if native_id_of(row.job, row.submitted) != kept and not row.is_over]
    assert [one.native_id for one in view.doubles] == [native_id_of(row.job, row.submitted) for row in others]


def test_of_two_that_nobody_knows_the_first_is_kept() -> None:
    view = Register("s1").read([_row("8", "s1-a", "PENDING", 6), _row("7", "s1-a", "PENDING")], ())
    assert (view.found["s1-a"].native_id, [one.native_id for one in view.doubles]) == ("7@5", ["8@6"])


# --- what is in no line ----------------------------------------------------------------------------------------------


def test_a_task_that_vanishes_from_the_queue_was_taken_out_of_it() -> None:
    register = Register("s1", lambda: 0.0)
    register.note("6", 5, ["s1-a", "s1-b", "s1-c"])
    missing = {"6_1@5": "s1-b", "7@5": "s1-d"}
    running = _row("6_0", "s1-a")
    assert register.read_vanished({}, _read(register, [_row("6_[1-2]", "s1-a", "PENDING"), running]), 300) == {}
    for _ in range(2):  # until nobody asks any more
        found = _read(register, [_row("6_[2]", "s1-a", "PENDING"), running])
        vanished = register.read_vanished(missing, found, 300)
        assert {name: (one.native_id, one.ending) for name, one in vanished.items()} == {
            "s1-b": ("6_1@5", Reason.CANCELED)
        }
    assert register.read_vanished(missing | {"6_2@5": "s1-c"}, _read(register, []), 300) == {}  # all of it is lost


def test_of_a_task_that_may_have_run_since_the_last_look_that_is_not_said() -> None:
    """Looks failed for so long that it may have begun, ended, and been forgotten."""
    moments = iter([0.0, 301.0, 302.0])
    register = Register("s1", lambda: next(moments))
    register.note("6", 5, ["s1-a", "s1-b"])
    running = _row("6_0", "s1-a")
    register.read_vanished({}, _read(register, [_row("6_[1]", "s1-a", "PENDING"), running]), 300)
    for _ in range(2):
        assert register.read_vanished({"6_1@5": "s1-b"}, _read(register, [running]), 300) == {}


def test_the_accounting_says_how_those_ended_that_were_forgotten() -> None:
    text = (
        "1|5|s1-one|FAILED|3:0|n1\n2_1|5|s1-two|TIMEOUT|0:15|n1\n4|5|s1-old|COMPLETED|0:0|n1\n"
        "5|5|s1-run|RUNNING|0:0|n1\n6|Unknown|s1-by|CANCELLED by 0|0:9|n2\n7|5|s1-seven|COMPLETED|0:0|n1\n"
        "8_0|5|s1-two|COMPLETED|0:0|n1\n"
    )
    missing = {"1@7": "s1-one", "2_1@5": "s1-three", "4@5": "s1-new", "5@5": "s1-run", "6@5": "s1-by", "8_0": "s1-zero"}
    found = Register("s1").read_ended(calls.parse_ended(text), missing)
    assert {name: (seen.ending, seen.exit_code) for name, seen in found.items()} == {
        "s1-one": (None, 3),  # `sacct --completion` takes the start for the submission
        "s1-three": (Reason.WALLTIME, None),
        "s1-by": (Reason.CANCELED, None),
        "s1-zero": (None, 0),
    }
    assert calls.list_ended(["1", "2_1"], completions=True).argv[:3] == ("sacct", "--completion", "--duplicates")


@pytest.mark.parametrize(("native_id", "parts"), [("7_3@5", ("7_3", "7", 5)), ("7", ("7", "7", 0)), ("", ("", "", 0))])
def test_an_id_is_a_number_and_a_time(native_id: str, parts: tuple[str, str, int]) -> None:
    assert (number_of(native_id), array_of(native_id), submitted_of(native_id)) == parts
    assert native_id_of(parts[0], parts[2]) == native_id


def test_the_lines_of_the_queue_say_when() -> None:
    (row,) = [row for row in _queue("queue-after-crash") if row.job == "3"]
    assert (row.submitted, row.state) == (_AFTER, "PENDING")
    assert calls.parse_row("3|N/A|s1-a|PENDING|0|0||None") is not None
    assert NativeState.ENDED is Register("s1").read([_row("3", "s1-a", "COMPLETED")], ()).found["s1-a"].state
