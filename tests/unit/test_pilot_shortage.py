"""A pilot reads from its control group whether the kernel ended something for want of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.scheduler.pilot.shortage import kills

_OLD = "11:pids:/p\n9:cpuset,memory:/docker/abc\n0::/\n"


@pytest.mark.parametrize(
    ("own", "file", "text", "count"),
    [
        (_OLD, "memory/docker/abc/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
        (_OLD, "memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", 2),
        (_OLD, "memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", 0),
        ("0::/a/b\n", "a/b/memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n", 1),
        ("0::/\n", "memory.events", "max 4\noom 1\noom_kill 5\n", 5),
        ("0::/\n", "elsewhere", "oom_kill 5\n", 0),
    ],
)
def test_the_count_is_found(tmp_path: Path, own: str, file: str, text: str, count: int) -> None:
    (tmp_path / "cgroup").write_text(own)
    path = tmp_path / "root" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert kills(tmp_path / "cgroup", tmp_path / "root") == count


def test_where_nobody_counts_there_are_none(tmp_path: Path) -> None:
    assert kills(tmp_path / "none", tmp_path) == 0
