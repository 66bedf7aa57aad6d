"""Outputs are found by name and pattern, inside the working folder only."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.spec import Output
from services.scheduler.pilot.outputs import find_outputs


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("a.csv", "deep/b.csv", "deep/c.txt", "x[1].txt", ".hidden"):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.csv").write_text("secret")
    (tmp_path / "work" / "link.csv").symlink_to(tmp_path / "outside" / "secret.csv")
    (tmp_path / "work" / "linked").symlink_to(tmp_path / "outside")
    (tmp_path / "work" / "inner.csv").symlink_to("a.csv")
    return tmp_path / "work"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.csv", ["a.csv"]),
        ("*.csv", ["a.csv", "inner.csv"]),
        ("**/*.csv", ["a.csv", "deep/b.csv", "inner.csv"]),
        ("deep", ["deep/b.csv", "deep/c.txt"]),
        ("x[1].txt", ["x[1].txt"]),
        ("linked/secret.csv", []),
        ("linked", []),
        ("link.csv", []),
        ("nothing*", []),
    ],
)
def test_a_pattern_finds(work: Path, pattern: str, names: list[str]) -> None:
    found, missing = find_outputs([Output(path=pattern)], work)
    assert sorted(delivery.path for delivery in found) == [f"outputs/{name}" for name in names]
    assert missing == ([] if names else [pattern])


def test_a_file_goes_home_once(work: Path) -> None:
    found, missing = find_outputs([Output(path="a.csv"), Output(path="*.csv"), Output(path="no", required=False)], work)
    assert len(found) == 2
    assert missing == []
