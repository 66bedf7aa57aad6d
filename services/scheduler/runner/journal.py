"""What the runner knows of its runs, in their folders: it outlives the runner, and says what a new one must do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from contracts.model import Model, Timestamp
from contracts.runs import RunReport, RunTask, StepName, run_name
from contracts.states import Reason
from contracts.workloads import Allocation
from services.scheduler.pilot import folder

__all__ = ["Journal", "ProcessName", "RunFolder", "Start", "Verdict"]

_DIGITS = 12
"""Of the number of the last acknowledged report."""

_M = TypeVar("_M", bound=Model)


class Start(Model):
    """That a run's process is about to be started; written before it is."""

    boot: str
    started_at: Timestamp
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class ProcessName:
    """Names a process for ever: its number, and when it began."""

    pid: int
    started: int
    """Clock ticks since the boot, as the kernel counts them."""


class Verdict(Model):
    """Why a run is being ended before its time."""

    reason: Reason
    message: str = ""
    asked: bool = True
    """Whether its processes were asked to end, as far as is known; runners did not say so once."""


class RunFolder(folder.RunFolder):
    """Everything about one attempt."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, path.name)
        self.groups = path / "groups"
        """Names the control groups of its processes, where it has any."""
        self._task = path / "task.json"
        self._box = path / "box.json"
        self._fate = path / "fate.json"
        self._start = path / "start.json"
        self._old_process = path / "process"
        self._verdict = path / "verdict.json"
        self._old_reports = path / "reports"
        self._acknowledged = path / "acknowledged"
        self._done = path / "done"

    # --- task, process, verdict -------------------------------------------------------------------------------

    def take(self, task: RunTask) -> None:
        """Keep a task; afterwards it is ours, come what may."""
        self.create()
        _write(self._task, task.model_dump_json())

    def read_task(self) -> RunTask | None:
        """Return the task, or None if it was never written completely."""
        return _read(self._task, RunTask)

    def write_start(self, start: Start) -> None:
        """Note that the process is about to be started; if this is half there, it never was."""
        _write_at_once(self._start, start.model_dump_json() + "\n")

    def read_start(self) -> Start | None:
        """Return what was written before the start, if it came to that."""
        return _read(self._start, Start, first_line=True)

    def write_process(self, process: ProcessName) -> None:
        """Note the process that runs."""
        _write_at_once(self._start, f"{process.pid} {process.started}\n", os.O_APPEND)

    def read_process(self) -> ProcessName | None:
        """Return the process that ran or runs, if its name was written in time."""
        # It had a file of its own once.
        text = _text(self._old_process) or _text(self._start).partition("\n")[2]
        line, end, _ = text.partition("\n")
        pid, _, started = line.partition(" ")
        return ProcessName(int(pid), int(started)) if end else None

    def write_verdict(self, verdict: Verdict) -> None:
        """Note why the run is ended."""
        _write(self._verdict, verdict.model_dump_json())

    def remove_verdict(self) -> None:
        """Forget why it was to be ended: it had ended by itself."""
        self._verdict.unlink(missing_ok=True)

    def read_verdict(self) -> Verdict | None:
        """Return why the run was to be ended, if it was."""
        return _read(self._verdict, Verdict)

    def write_box(self, box: Model) -> None:
        """Keep what its container is made of, for the process that looks after it."""
        _write(self._box, box.model_dump_json())

    def read_box(self, kind: type[_M]) -> _M:
        """Return it."""
        return kind.model_validate_json(self._box.read_bytes())

    def write_fate(self, verdict: Verdict) -> None:
        """Note how it ended, where that is more than its exit code says."""
        _write(self._fate, verdict.model_dump_json())

    def read_fate(self) -> Verdict | None:
        """Return what was noted."""
        return _read(self._fate, Verdict)

    # --- reports ----------------------------------------------------------------------------------------------

    def write_report(self, report: RunReport) -> bytes:
        """Keep a report until it is acknowledged; return it as it is sent."""
        raw = report.model_dump_json(exclude_defaults=True).encode()
        # It is sent only after this; one that is half there was never sent, and is passed over.
        _write_at_once(self._report(report.number), raw)
        return raw

    def forget_report(self, number: int, *, last: bool) -> None:
        """Note that the stream keeps a report; the *last* one ends the run, and nobody looks at the others again."""
        if last:
            try:
                os.rename(self._report(number), self._done)  # noqa: PTH104 (a new file costs ten times as much)
            except FileNotFoundError:
                self._done.touch()
            return
        _write_at_once(self._acknowledged, f"{number:0{_DIGITS}d}")
        self._report(number).unlink(missing_ok=True)
        if self._old_reports.exists():
            (self._old_reports / f"{number:09d}").unlink(missing_ok=True)

    def read_reports(self) -> list[RunReport]:
        """Return the reports that are not acknowledged, in order."""
        # Runners had a folder for them once.
        places = [*self._old_reports.glob("[0-9]*[0-9]"), *self.path.glob("report-[0-9]*[0-9]")]
        found = (_read(path, RunReport) for path in sorted(places, key=_number))
        return [report for report in found if report]

    def _report(self, number: int) -> Path:
        return self.path / f"report-{number:09d}"

    def next_number(self) -> int:
        """Return the number of the next report."""
        # The file is empty if the runner died while it made it; then the first report is still here.
        text = self._acknowledged.read_text() if self._acknowledged.exists() else ""
        acknowledged = int(text) if len(text) == _DIGITS else 0
        return max([acknowledged, *(report.number for report in self.read_reports())]) + 1

    # --- end --------------------------------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Say whether the last report was acknowledged."""
        return self._done.exists()

    @property
    def is_told(self) -> bool:
        """Say whether the last report was written, acknowledged or not."""
        return self.is_done or any(
            step.step is StepName.DONE for report in self.read_reports() for step in report.steps
        )

    @property
    def done_for(self) -> float:
        """Return the seconds since the last report was written."""
        return time.time() - self._done.stat().st_mtime


class Journal:
    """All runs' folders."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def folder(self, workload_id: str, attempt: int) -> RunFolder:
        """Return the folder of an attempt, which need not exist."""
        return RunFolder(self._root / run_name(workload_id, attempt))

    def knows(self, workload_id: str, attempt: int) -> bool:
        """Say whether an attempt was taken before, and is not long gone."""
        return (self._root / run_name(workload_id, attempt) / "task.json").exists()

    def folders(self) -> Iterator[RunFolder]:
        """Return the folders that exist, oldest attempt first; half-made ones are removed."""
        for path in sorted(self._root.iterdir()):
            if not path.is_dir():
                continue
            found = RunFolder(path)
            if found.read_task() is None:
                found.remove()
            else:
                yield found


def _number(report: Path) -> int:
    return int(report.name.removeprefix("report-"))


def _write(path: Path, content: str | bytes) -> None:
    """Write all or nothing."""
    draft = f"{path}.new"
    raw = content.encode() if isinstance(content, str) else content
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        while raw:
            raw = raw[file.write(raw) :]
    os.rename(draft, path)  # noqa: PTH104 (on the way of every job; a Path costs more than the call)


def _write_at_once(path: Path, content: str | bytes, flag: int = 0) -> None:
    """Write in one go, over what was there; what is written anew must not be shorter."""
    raw = content.encode() if isinstance(content, str) else content
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600), "wb", buffering=0) as file:
        while raw:
            raw = raw[file.write(raw) :]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _read(path: Path, kind: type[_M], *, first_line: bool = False) -> _M | None:
    try:
        raw = path.read_bytes()
        return kind.model_validate_json(raw.partition(b"\n")[0] if first_line else raw, extra="ignore")
    except (FileNotFoundError, ValidationError):
        return None
