"""What is written in a run's folder tells a new runner what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.model import now
from contracts.runs import RunReport, RunTask, Step, StepName
from contracts.states import Reason
from contracts.workloads import Allocation
from services.scheduler.pilot.process import read_exit
from services.scheduler.runner.journal import Journal, ProcessName, RunFolder, Start, Verdict
from tests.support.runners import a_task


@pytest.fixture
def task() -> RunTask:
    return a_task("true")


@pytest.fixture
def folder(tmp_path: Path, task: RunTask) -> RunFolder:
    folder = Journal(tmp_path).folder(task.workload_id, 1)
    folder.take(task)
    return folder


def _report(task: RunTask, number: int, step: StepName = StepName.ALIVE) -> RunReport:
    steps = [Step(step=step, at=now())]
    return RunReport(workload_id=task.workload_id, attempt=1, number=number, runner="r", native_id="n", steps=steps)


def test_a_task_is_known_once_it_is_written(tmp_path: Path, task: RunTask) -> None:
    journal = Journal(tmp_path)
    folder = journal.folder(task.workload_id, 1)
    assert not journal.knows(task.workload_id, 1)
    folder.take(task)
    assert journal.knows(task.workload_id, 1)
    assert folder.read_task() == task
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_half_written_folder_is_no_run(tmp_path: Path, folder: RunFolder) -> None:
    half = tmp_path / "job-half.1"
    half.mkdir()
    (half / "task.json.new").write_text('{"workload_id":')
    assert [found.name for found in Journal(tmp_path).folders()] == [folder.name]
    assert not half.exists()


def test_reports_are_counted_on_after_a_restart(folder: RunFolder, task: RunTask) -> None:
    assert folder.next_number() == 1
    for number in (1, 2, 3):
        folder.write_report(_report(task, number))
    folder.forget_report(1, last=False)
    assert [report.number for report in folder.read_reports()] == [2, 3]
    assert folder.next_number() == 4
    for number in (2, 3):
        folder.forget_report(number, last=False)
    assert folder.next_number() == 4
    assert not folder.is_told


def test_what_a_runner_of_the_release_before_did_not_send_is_sent(folder: RunFolder, task: RunTask) -> None:
    old = folder.path / "reports"
    old.mkdir()
    (old / "000000009").write_text(_report(task, 9).model_dump_json())
    folder.write_report(_report(task, 10))
    assert [report.number for report in folder.read_reports()] == [9, 10]
    assert folder.next_number() == 11
    folder.forget_report(9, last=False)
    assert [report.number for report in folder.read_reports()] == [10]


def test_a_runner_that_died_while_it_noted_the_first_report_counts_on(folder: RunFolder, task: RunTask) -> None:
    folder.write_report(_report(task, 1))
    (folder.path / "acknowledged").touch()
    assert folder.next_number() == 2


def test_the_last_report_ends_a_run_even_before_it_is_heard(folder: RunFolder, task: RunTask) -> None:
    folder.write_report(_report(task, 1, StepName.DONE))
    assert (folder.is_told, folder.is_done) == (True, False)
    folder.forget_report(1, last=True)
    assert (folder.is_told, folder.is_done) == (True, True)
    assert folder.done_for < 60


def test_a_verdict_outlives_the_runner(folder: RunFolder) -> None:
    assert folder.read_verdict() is None
    folder.write_verdict(Verdict(reason=Reason.WALLTIME, message="too long"))
    assert folder.read_verdict() == Verdict(reason=Reason.WALLTIME, message="too long")


@pytest.mark.parametrize(
    ("text", "shell", "code", "signaled"),
    [
        ("0\n0m0.010s 0m0.020s\n1m1.5s 0m0.5s\n", "", 0, False),
        ("0\ntold 0\n0m0.010s 0m0.020s\n1m1.5s 0m0.5s\n", "", 0, False),
        ("137\n", "Killed\n", 137, True),
        ("137\n", "", 137, False),
        ("143\n", "", 143, True),
        ("200\n", "", 200, False),
        ("", "", None, False),
        ("13", "", None, False),
    ],
)
def test_an_exit_is_read_as_the_wrapper_wrote_it(
    folder: RunFolder, text: str, shell: str, code: int | None, *, signaled: bool
) -> None:
    folder.exit.write_text(text)
    folder.shell.write_text(shell)
    ended = read_exit(folder)
    assert (ended.code, ended.signaled) == (code, signaled)
    if "1m1.5s" in text:
        assert ended.cpu_seconds == pytest.approx(62.03)


def test_a_program_that_could_not_be_started_has_ended(folder: RunFolder) -> None:
    folder.write_failure(127, "nope: not found")
    ended = read_exit(folder)
    assert (ended.code, ended.message) == (127, "nope: not found")
    assert folder.stderr.read_text() == "shunter: nope: not found\n"


def test_what_a_user_locked_is_removed_too(folder: RunFolder) -> None:
    locked = folder.work / "a" / "b"
    locked.mkdir(parents=True)
    (locked / "c").touch()
    locked.chmod(0)
    folder.remove()
    assert not folder.path.exists()


@pytest.mark.parametrize("written", ["", "123", "123 45"])
def test_a_half_written_process_is_none(folder: RunFolder, written: str) -> None:
    (folder.path / "start.json").write_text(_start().model_dump_json() + "\n" + written)
    assert folder.read_process() is None
    assert folder.read_start()


@pytest.mark.parametrize("length", [0, 1, 40])
def test_a_half_written_start_never_was(folder: RunFolder, length: int) -> None:
    (folder.path / "start.json").write_text(_start().model_dump_json()[:length])
    assert folder.read_start() is None
    assert folder.read_process() is None


def test_a_process_is_named_beside_its_start(folder: RunFolder) -> None:
    start = _start()
    folder.write_start(start)
    folder.write_process(ProcessName(123, 456))
    assert folder.read_start() == start
    assert folder.read_process() == ProcessName(123, 456)


def test_the_process_that_a_runner_of_the_release_before_started_is_found(folder: RunFolder) -> None:
    (folder.path / "start.json").write_text(_start().model_dump_json())
    (folder.path / "process").write_text("123 456\n")
    assert folder.read_start()
    assert folder.read_process() == ProcessName(123, 456)


def _start() -> Start:
    return Start(boot="b", started_at=now(), allocation=Allocation(backend="local", cpus=1))
