"""The supervisor keeps its parts running, and leaves nothing behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.servers import free_ports

_ROOT = Path(__file__).parents[2]


@contextmanager
def _small_stack(folder: Path, behaviour: str = "") -> Iterator[subprocess.Popen[str]]:
    first, second = free_ports(2)
    command = [sys.executable, "-m", "tests.support.small_stack", str(folder), str(first), str(second), behaviour]
    with subprocess.Popen(
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _pids(process: subprocess.Popen[str]) -> dict[str, int]:
    assert process.stdout
    found: dict[str, int] = json.loads(process.stdout.readline())
    return found


def _assert_all_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_stops_all_parts_and_the_exit_code_is_0(tmp_path: Path, number: signal.Signals) -> None:
    with _small_stack(tmp_path) as process:
        _pids(process)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(10) == 0
        _assert_all_gone(family)


@pytest.mark.parametrize("behaviour", ["deaf", "leaves"])
def test_what_does_not_end_when_told_is_killed(tmp_path: Path, behaviour: str) -> None:
    with _small_stack(tmp_path, behaviour) as process:
        _pids(process)
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(10) == 0
        _assert_all_gone(family)


def test_a_part_that_dies_is_started_again(tmp_path: Path) -> None:
    with _small_stack(tmp_path) as process:
        before = _pids(process)
        os.kill(before["gateway"], signal.SIGKILL)
        assert _pids(process) == {"nats": before["nats"]}
        after = _pids(process)
        assert after["nats"] == before["nats"]
        assert after["gateway"] != before["gateway"]
        process.terminate()
        assert process.wait(10) == 0


def test_a_part_that_dies_while_starting_stops_all_and_its_log_is_shown(tmp_path: Path) -> None:
    with _small_stack(tmp_path, "dies") as process:
        assert process.wait(20) == 1
        assert process.stderr
        said = process.stderr.read()
    assert "gateway ended while starting" in said
    assert "the stand-in does not want to" in (tmp_path / "gateway.log").read_text() + said


def test_parts_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with _small_stack(tmp_path) as process:
        _pids(process)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 2
        process.kill()
        _assert_all_gone(family)
