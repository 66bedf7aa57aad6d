"""Live output is cut where a reader can take it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.pilot import output as pilot
from services.scheduler.runner.output import cut, last_words


@pytest.mark.parametrize(
    ("data", "full", "size"),
    [
        (b"one\ntwo", False, 4),
        (b"no end", False, 6),
        (b"x\n" + b"y" * 100, True, 102),
        ("ab€".encode()[:-1], False, 2),
        ("ab😀".encode()[:-2], True, 2),
        ("ab😀".encode(), True, 6),
        ("ä".encode()[:1], False, 0),
        (b"\x80\x80\x80\x80\x80", True, 5),
        (b"", False, 0),
    ],
    ids=["line", "no-line", "far-line", "half-euro", "half-smile", "whole", "only-half", "no-utf8", "empty"],
)
def test_a_cut_is_at_a_line_end_else_at_a_character(data: bytes, size: int, *, full: bool) -> None:
    assert cut(data, full=full) == size


@given(st.text(min_size=1), st.integers(min_value=1))
def test_text_is_never_cut_within_a_character(text: str, end: int) -> None:
    data = text.encode()[:end]
    data[: cut(data, full=True)].decode()


@given(st.binary(min_size=4))
def test_bytes_of_any_kind_go_on(data: bytes) -> None:
    assert cut(data, full=True) > 0


@pytest.mark.parametrize("told", [last_words, pilot.last_words], ids=["runner", "pilot"])
def test_the_end_of_what_was_printed_has_something_of_each_stream(
    tmp_path: Path, told: Callable[[list[Path]], str]
) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    assert told([out, err]) == ""
    out.write_bytes(b"begun")
    assert told([out, err]) == "begun"
    err.write_bytes(b"Traceback\n")
    assert told([out, err]) == "begun\nTraceback\n"
    out.write_bytes(b"x" * 5000 + b"done\n")
    found = told([out, err])
    assert (len(found), found[-15:]) == (1000, "done\nTraceback\n")
    err.write_bytes(b"y" * 5000 + b"\0z")
    found = told([out, err])
    assert (found.count("x"), found[-2:]) == (495, "yz")
    out.write_bytes("é".encode() * 5000)
    err.unlink()
    assert told([out, err]) == "é" * 1000
