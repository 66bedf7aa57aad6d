"""Zips that are made as they are sent: whole, safe to unpack, and of any size."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.errors import InternalError
from services.gateway.zips import ZipEntry, safe_name, zip_pieces

AT = datetime(2026, 11, 26, 12, 30, 2, tzinfo=UTC)

LEADS_OUT = (
    *(
        "../x",
        "a/../../x",
        "..",
        "a/..",
        "/etc/passwd",
        "//host/share",
        "..\\x",
        "a\\..\\..\\x",
        "C:\\x",
        "\\\\host\\x",
    ),
    *("", "/", ".", "a\x00b", "a\nb", "a/\x1b[2J", "x" * 300),
)
"""Names by which an archive would write where nobody expects it, or that no system can write."""

HARMLESS = {
    "a": "a",
    "a/b.txt": "a/b.txt",
    "a//b/./c": "a/b/c",
    "..a/b..": "..a/b..",
    "C:x": "C_x",
    "c:/windows/x": "c_/windows/x",
    "%2e%2e/x": "%2e%2e/x",
    "mein 日本.txt": "mein 日本.txt",
    "dir/": "dir/",
}


async def _one(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


async def _entries(files: dict[str, bytes], at: datetime = AT) -> AsyncIterator[ZipEntry]:
    for name, content in files.items():
        yield ZipEntry(name, len(content), at, _one(content))


async def _zip(files: dict[str, bytes], at: datetime = AT) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join([piece async for piece in zip_pieces(_entries(files, at))])))


@pytest.mark.parametrize("name", LEADS_OUT, ids=repr)
async def test_no_name_leads_out(name: str) -> None:
    with pytest.raises(InternalError):
        await _zip({name: b"evil"})


@pytest.mark.parametrize(("name", "safe"), HARMLESS.items(), ids=repr)
def test_other_names_stay(name: str, safe: str) -> None:
    assert safe_name(name) == safe


async def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    files = {safe: safe.encode() * 40_000 for safe in HARMLESS.values() if safe not in {"a", "dir/"}}
    with await _zip({**files, "empty": b"", "folder/": b""}) as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(2026, 11, 26, 12, 30, 2)}
        archive.extractall(tmp_path / "out")
    found = _found(tmp_path)
    assert found.pop("out/folder") is None
    assert found == {f"out/{name}": content for name, content in {**files, "empty": b""}.items()}


def _found(folder: Path) -> dict[str, bytes | None]:
    """Return all files below a folder, and its empty folders."""
    inside = [one for one in folder.rglob("*") if one.is_file() or not any(one.iterdir())]
    return {str(one.relative_to(folder)): one.read_bytes() if one.is_file() else None for one in inside}


async def test_nothing_at_all_is_a_zip_too() -> None:
    with await _zip({}) as archive:
        assert archive.namelist() == []


async def test_times_before_zips_knew_any_are_their_first() -> None:
    with await _zip({"old": b"1"}, datetime(1970, 1, 1, tzinfo=UTC)) as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


async def test_a_file_that_breaks_off_leaves_a_zip_without_an_end() -> None:
    async def breaks() -> AsyncIterator[ZipEntry]:
        async def half() -> AsyncIterator[bytes]:
            yield b"half"
            raise ConnectionResetError

        yield ZipEntry("a", 8, AT, half())

    got = io.BytesIO()

    async def pack() -> None:
        async for piece in zip_pieces(breaks()):
            got.write(piece)

    with pytest.raises(ConnectionResetError):
        await pack()
    assert not zipfile.is_zipfile(got)


class _Window(io.RawIOBase):
    """A file of which only the end is kept: enough to read what a zip says of itself."""

    def __init__(self, size: int, tail: bytes) -> None:
        self._size, self._tail, self._at = size, tail, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        begin = self._at - (self._size - len(self._tail))
        assert begin >= 0, "only the end is here"
        found = self._tail[begin:] if size is None or size < 0 else self._tail[begin : begin + size]
        self._at += len(found)
        return found


@pytest.mark.slow
async def test_a_file_of_more_than_four_gigabytes_is_told_right() -> None:
    """The fields for more than 4 GiB, of a file and of what comes behind it, are in no smaller zip."""
    size, block = 4 * 2**30 + 5 * 2**20, bytes(2**20)

    async def large() -> AsyncIterator[bytes]:
        for _ in range(size // len(block)):
            yield block

    async def entries() -> AsyncIterator[ZipEntry]:
        yield ZipEntry("large", size, AT, large())
        yield ZipEntry("behind", 5, AT, _one(b"hello"))

    length, tail = 0, b""
    async for piece in zip_pieces(entries()):
        length += len(piece)
        tail = (tail + piece)[-10_000:]
    with zipfile.ZipFile(_Window(length, tail)) as archive:
        assert [(info.filename, info.file_size) for info in archive.infolist()] == [("large", size), ("behind", 5)]
        assert archive.infolist()[1].header_offset > 4 * 2**30
        assert archive.read("behind") == b"hello"
