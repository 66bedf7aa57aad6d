"""What the file says of backends: read as a whole or refused, each fault with its line."""

from __future__ import annotations

import sys

import pytest

from services.scheduler.placing.file import BrokenFileError, read_sections
from tests.support.engines import ENTRIES

assert str(ENTRIES) in sys.path, "the engines of tests are found as those of a package"

GOOD = b"""
scheduler:
  backends:
    - {name: local, near: [store]}
    - name: own
      kind: memory
      memory: {world: file}
      cost: 0.5
      walltime: 2h
  placement:
    default: {order: cheapest, patience: 5m}
"""


def test_what_is_good_is_read() -> None:
    found = read_sections(GOOD)
    assert [(one.name, one.kind) for one in found.backends] == [("local", "local"), ("own", "memory")]
    assert found.backends[1].cost
    assert found.backends[1].cost.cpu_hour == 0.5
    assert found.placement.default.patience


def test_without_a_word_there_is_what_there_is_at_a_start() -> None:
    assert [one.name for one in read_sections(b"data: /srv\n").backends] == ["local"]


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "words"),
    [
        (b"memory: {world: file}", b"memory: {}", 7, "scheduler.backends.1.memory.world", "Field required"),
        (b"cost: 0.5", b"cost: -1", 8, "scheduler.backends.1.cost.cpu_hour", "greater than or equal to 0"),
        (b"walltime: 2h", b"walltime: soon", 9, "scheduler.backends.1.walltime", "timedelta"),
        (b"walltime: 2h", b"walltme: 2h", 5, "scheduler.backends.1", "has no walltme"),
        (b"kind: memory", b"kind: memry", 5, "scheduler.backends.1", "there is no 'memry'"),
        (b"order: cheapest", b"order: dearest", 11, "scheduler.placement.default.order", "ordered"),
        (b"order: cheapest", b"order: ordered, backends: [hpc]", 2, "scheduler", "there is no backend 'hpc'"),
        (b"name: own", b"name: local", 2, "scheduler", "'local' stands there twice"),
        (b"{name: local, near: [store]}", b"{name: local", None, "", "no YAML"),
        (b"- name: own", b"- name: \xff", None, "", "utf-8"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: bytes, new: bytes, line: int | None, field: str, words: str) -> None:
    with pytest.raises(BrokenFileError) as caught:
        read_sections(GOOD.replace(old, new))
    first = caught.value.faults[0]
    assert (first.field, words in first.message) == (field, True), first
    assert first.line is None or line is None or abs(first.line - line) <= 1, first
