"""How a box and its limits are asked for, on hosts of all sorts."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.scheduler.runner.isolation.box import Box, Node
from services.scheduler.runner.isolation.groups import (
    Controller,
    Limits,
    find_controllers,
    limit,
    memory_kills,
    missing,
    usable,
)
from services.scheduler.runner.settings import RunnerSettings

ROOTS = (("/bin", "usr/bin"), ("/data", ""), ("/etc", ""), ("/proc", ""), ("/tmp", ""), ("/usr", ""))
LIMITS = Limits(memory=2**20, cpus=1.5, processes=50)


def _node(*, hide: tuple[str, ...] = (), show: tuple[str, ...] = ()) -> Node:
    gpus = ("/dev/nvidia0",)
    return Node(ROOTS, tuple(map(Path, hide)), tuple(map(Path, show)), gpus, resolver="/run/resolv.conf")


def _words(node: Node, **changes: object) -> str:
    return " ".join(Box("bwrap", node, Path("/w/work"), Path("/w/tmp"), **changes).words())  # type: ignore[arg-type]


def test_the_root_is_read_only_and_has_nothing_of_the_hosts_own_state() -> None:
    words = _words(_node())
    assert "--symlink usr/bin /bin --ro-bind /data /data" in words
    assert "--bind /w/tmp /tmp" in words
    assert "--bind /w/work /w/work" in words
    assert "--remount-ro /" in words
    assert "--cap-drop ALL" in words
    assert "--ro-bind /tmp" not in words
    assert "/dev/nvidia0" not in words
    assert "--unshare-net" not in words


def test_gpus_network_and_place_are_given_where_asked_for() -> None:
    words = _words(_node(), has_gpus=True, has_network=False, place="/files")
    assert "--dev-bind-try /dev/nvidia0 /dev/nvidia0" in words
    assert "--unshare-net" in words
    assert "resolv.conf" not in words
    assert "--bind /w/work /files" in words
    assert "--chdir /files" in words


@pytest.mark.parametrize(
    ("hide", "show", "expected"),
    [
        (("/home/a",), ("/usr",), [("/home/a", False)]),
        (
            ("/home/a", "/home/a/venv/data"),
            ("/home/a/venv",),
            [*zip(("/home/a", "/home/a/venv", "/home/a/venv/data"), (False, True, False), strict=True)],
        ),
        (("/home/a", "/home/a/data"), (), [("/home/a", False)]),
        (("/home/a",), ("/home/a",), [("/home/a", False)]),
        (("/", "/tmp/data"), ("/tmp/venv",), [("/tmp/venv", True)]),
    ],
)
def test_what_is_hidden_stays_hidden_below_what_is_shown(
    hide: tuple[str, ...], show: tuple[str, ...], expected: list[tuple[str, bool]]
) -> None:
    assert [(str(path), shown) for path, shown in _node(hide=hide, show=show).changes()] == expected


@pytest.mark.parametrize(("place", "can"), [("/files", True), ("/data/none", False), ("/tmp/x", False), ("/usr", True)])
def test_a_folder_is_shown_only_where_it_can_be_made(place: str, *, can: bool) -> None:
    assert _node().can_show_at(place) is can


def test_what_is_ours_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shunter.yaml").write_text("{}")
    monkeypatch.setenv("SHUNTER_CONFIG", str(tmp_path / "shunter.yaml"))
    settings = RunnerSettings(data=tmp_path / "data")
    wanted = {tmp_path / "data", tmp_path / "data" / "runner", Path.home(), tmp_path / "shunter.yaml"}
    assert set(settings.private) == wanted


def test_controllers_of_the_first_version_are_found_where_we_are(tmp_path: Path) -> None:
    (tmp_path / "memory" / "we").mkdir(parents=True)
    mounts = "\n".join(
        f"31 30 0:3 / {tmp_path}/{name} rw - cgroup cgroup rw,{name}" for name in ("memory", "pids", "freezer")
    )
    found = find_controllers(mounts, "4:memory:/we\n8:pids:/\n2:freezer:/\n0::/")
    assert [(item.name, item.base) for item in found] == [
        ("memory", tmp_path / "memory" / "we"),
        ("pids", tmp_path / "pids"),
    ]
    assert missing(found) == ["cpu"]


def test_limits_of_the_second_version_lie_in_one_group(tmp_path: Path) -> None:
    base = tmp_path / "we"
    base.mkdir()
    (base / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (base / "cgroup.subtree_control").write_text("memory pids cpu\n")
    mount = f"31 30 0:3 /outer {tmp_path} rw - cgroup2 cgroup2 rw"
    found = find_controllers(mount, "0::/outer/we\n")
    assert {(item.name, item.base, item.unified) for item in found} == {
        (name, base, True) for name in ("memory", "pids", "cpu")
    }
    (group,) = limit(found, "shunter-x", LIMITS)
    texts = {path.name: path.read_text() for path in group.iterdir()}
    assert texts == {"memory.max": str(2**20), "pids.max": "50", "cpu.max": "150000 100000"}
    (group / "memory.events").write_text("oom 2\noom_kill 1\noom_group_kill 0\n")
    assert memory_kills([group]) == 1


def test_a_group_that_was_given_is_taken_and_one_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "cgroup.controllers").write_text("memory pids cpu\n")
    (given / "cgroup.subtree_control").mkdir()  # nothing can be written to it, whoever we are
    mount = f"31 30 0:3 / {tmp_path} rw - cgroup2 cgroup2 rw"
    found = find_controllers(mount, "0::/", given)
    good, reasons = usable(found)
    assert good == []
    assert reasons[0] == f"memory cannot be limited in {given}: Is a directory"


def test_the_first_version_has_files_of_its_own() -> None:
    names = [
        file
        for name in ("memory", "pids", "cpu")
        for file, _, _ in Controller(name, Path(), unified=False).settings(LIMITS)
    ]
    assert names == [
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "pids.max",
        "cpu.cfs_period_us",
        "cpu.cfs_quota_us",
    ]
    assert Controller("memory", Path(), unified=True).settings(Limits(None, 1.0, 50)) == []
