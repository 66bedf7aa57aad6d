"""Live output is cut where a reader can take it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.holdings import TAIL
from contracts.runs import LogChunk
from services.scheduler.pilot.output import LiveOutput, cut, last_words


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


def test_the_end_of_what_was_printed_has_something_of_each_stream(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    assert last_words([out, err]) == ""
    out.write_bytes(b"begun")
    assert last_words([out, err]) == "begun"
    err.write_bytes(b"Traceback\n")
    assert last_words([out, err]) == "begun\nTraceback\n"
    out.write_bytes(b"x" * 5000 + b"done\n")
    found = last_words([out, err])
    assert (len(found), found[-15:]) == (TAIL, "done\nTraceback\n")
    err.write_bytes(b"y" * 5000 + b"\0z")
    found = last_words([out, err])
    assert (found.count("x"), found[-2:]) == (495, "yz")
    out.write_bytes("é".encode() * 5000)
    err.unlink()
    assert last_words([out, err]) == "é" * TAIL


class _Kept(LiveOutput):
    """Keeps what is published."""

    def __init__(self, path: Path) -> None:
        super().__init__(self._note, {"stdout": path}, cap=9)
        self.pieces: list[tuple[bytes, str, dict[str, str]]] = []
        self.began = asyncio.Event()

    async def _note(self, stream: str, data: bytes, mark: str, headers: dict[str, str]) -> None:
        assert stream == "stdout"
        self.pieces.append((data, mark, headers))
        self.began.set()


async def test_each_piece_says_where_it_begins_and_the_last_that_it_is_all(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    live = _Kept(path)
    live.start()
    path.write_bytes(b"one\ntwo")
    await live.began.wait()
    with path.open("ab") as file:
        file.write(b" and more")
    await live.finish()
    offset, end = LogChunk.OFFSET, LogChunk.END
    first, *others = live.pieces
    assert first == (b"one\n", "0", {offset: "0"})
    assert others == [(b"two a", "4", {offset: "4"}), (b"", "end", {offset: "9", end: "1"})]
