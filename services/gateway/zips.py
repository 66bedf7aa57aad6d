"""A zip that is written as it is sent: nothing of it lies anywhere, however large it is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from contracts.errors import InternalError
from contracts.spec import clean_path

__all__ = ["ZipEntry", "safe_name", "zip_pieces"]

_EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
"""Zips know no earlier time."""

_ENOUGH = 64 * 1024
"""Bytes that are worth sending."""

_DRIVE = re.compile(r"^([A-Za-z]):")


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file to pack; a folder if its name ends with `/`."""

    name: str
    size: int
    at: datetime
    pieces: AsyncIterator[bytes]


class _Sink:
    """What the archive is written to: only as much as was not sent yet."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        self._waiting += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: all is taken in time."""

    def close(self) -> None:
        """Do nothing."""

    def take(self, at_least: int = 1) -> bytes:
        if len(self._waiting) < at_least:
            return b""
        taken, self._waiting = bytes(self._waiting), bytearray()
        return taken


def safe_name(name: str) -> str:
    """Return the name of an entry: it stays below the folder in which whoever unpacks it, whatever their system is."""
    try:
        clean = clean_path(name)
    except ValueError as error:
        raise InternalError(f"a file's name would lead out of a zip: {error}") from error
    return _DRIVE.sub(r"\1_", clean) + ("/" if name.endswith("/") else "")


async def zip_pieces(entries: AsyncIterator[ZipEntry]) -> AsyncIterator[bytes]:
    """Pack files one after the other; a file that breaks off breaks the zip off, which no program takes for whole."""
    sink = _Sink()
    # The bytes are framed, not squeezed: what is large here is squeezed already, and readers of streams need a frame.
    with ZipFile(sink, "w", ZIP_DEFLATED) as archive:
        async for entry in entries:
            with archive.open(_info(entry), "w") as packed:
                async for piece in entry.pieces:
                    packed.write(piece)
                    if ready := sink.take(_ENOUGH):
                        yield ready
    yield sink.take()


def _info(entry: ZipEntry) -> ZipInfo:
    info = ZipInfo(safe_name(entry.name), max(entry.at.astimezone(UTC), _EPOCH).timetuple()[:6])
    info.compress_type = ZIP_STORED if info.is_dir() else ZIP_DEFLATED
    info._compresslevel = 0  # type: ignore[attr-defined]  # noqa: SLF001 (the archive's own level is for names only)
    info.file_size = entry.size  # decides whether it takes the fields for more than 4 GiB
    info.external_attr = (0o40755 if info.is_dir() else 0o100644) << 16
    return info
