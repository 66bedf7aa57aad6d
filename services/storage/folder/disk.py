"""The folder itself: what lies where, and how it gets there so that nothing is ever half there."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from contracts.errors import InvalidError, NotFoundError, UnavailableError
from services.storage.objects import Arrival, StoredPart

__all__ = ["Disk", "Hashed", "Incoming"]

_LONGEST = 255
"""Bytes of a name that file systems take."""

_UPLOAD = re.compile(r"[0-9a-f]{32}")

_BLOCK = 2**24

_REMEMBERED = 4096
"""Checksums; an upload is measured right after it came."""


class Hashed:
    """Checksums of files that were hashed as they came, by what the file system says of them, whatever their names."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int, int], str] = OrderedDict()

    def note(self, at: os.stat_result, sha256: str) -> None:
        """Remember a checksum."""
        self._known[at.st_ino, at.st_mtime_ns, at.st_size] = sha256
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def of(self, at: os.stat_result) -> str | None:
        """Return the checksum of a file, if it is known and nobody wrote to it since."""
        return self._known.get((at.st_ino, at.st_mtime_ns, at.st_size))


class Incoming:
    """Bytes on their way to the disk, hashed as they go by."""

    def __init__(self, file: BinaryIO, hashed: Hashed) -> None:
        self._file = file
        self._hashed = hashed
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, pieces: Sequence[bytes]) -> None:
        """Go on."""
        for piece in pieces:
            self._file.write(piece)
            self._hash.update(piece)
            self.size += len(piece)

    def end(self) -> str:
        """Have all of it on the disk and return its checksum."""
        self._file.flush()
        os.fsync(self._file.fileno())
        sha256 = self._hash.hexdigest()
        self._hashed.note(os.fstat(self._file.fileno()), sha256)
        return sha256


class Disk:
    """Objects, uploads in parts, and what is under way. Raises errors of the file system."""

    def __init__(self, root: Path, keep_free: int) -> None:
        self._objects = root / "objects"
        self._uploads = root / "uploads"
        self._coming = root / "coming"
        self._keep_free = keep_free
        self.hashed = Hashed()

    def ensure(self) -> None:
        """Make the folders; nobody else has anything to look for there."""
        for folder in (self._objects, self._uploads, self._coming):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def has_room(self, size: int) -> bool:
        """Say whether so many bytes more leave as much free as must stay free."""
        return shutil.disk_usage(self._coming).free >= size + self._keep_free

    @contextmanager
    def incoming(self) -> Iterator[tuple[Incoming, Path]]:
        """Take bytes into a file that is gone at the end of the block, unless it was put somewhere."""
        place = self._coming / secrets.token_hex(16)
        try:
            with place.open("xb", buffering=0) as file:
                yield Incoming(file, self.hashed), place
        finally:
            place.unlink(missing_ok=True)

    def place(self, key: str) -> Path:
        """Return where an object lies."""
        *folders, name = (_segment(segment) for segment in key.split("/"))
        return self._objects.joinpath(*folders, hashlib.sha256(name.encode()).hexdigest()[:2], name)

    def put(self, coming: Path, key: str) -> None:
        """Let what has come be an object, all at once."""
        _settle(coming, self.place(key))

    def begin(self) -> str:
        """Begin an upload in parts."""
        upload_id = secrets.token_hex(16)
        (self._uploads / upload_id).mkdir(mode=0o700)
        return upload_id

    def put_part(self, coming: Path, upload_id: str, number: int, etag: str) -> None:
        """Let what has come be a part; another one of its number makes room."""
        folder = self._folder(upload_id)
        target = folder / f"{number}-{etag}"
        coming.replace(target)
        for other in folder.glob(f"{number}-*"):
            if other != target:
                other.unlink(missing_ok=True)

    def parts(self, upload_id: str) -> list[StoredPart]:
        """Return the parts that are there."""
        found = [(file.name.partition("-"), file.stat().st_size) for file in self._folder(upload_id).iterdir()]
        parts = [StoredPart(int(number), size, etag) for (number, _, etag), size in found]
        return sorted(parts, key=lambda part: part.number)

    def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> None:
        """Make the object of its parts, which are gone then."""
        folder = self._folder(upload_id)
        files = [folder / f"{part.number}-{part.etag}" for part in parts]
        if not files or not all(file.is_file() for file in files):
            raise InvalidError.of("parts", "the object store does not take them: InvalidPart")
        if len(files) == 1:
            _settle(files[0], self.place(key))
        else:
            with self.incoming() as (_, coming):
                _join(files, coming)
                _settle(coming, self.place(key))
        self.abort(upload_id)

    def abort(self, upload_id: str) -> None:
        """Drop an upload and its parts."""
        with suppress(NotFoundError):
            shutil.rmtree(self._folder(upload_id), ignore_errors=True)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        for key in keys:
            place = self.place(key)
            place.unlink(missing_ok=True)
            with suppress(OSError):  # others lie there
                place.parent.rmdir()
                place.parent.parent.rmdir()

    def arrivals(self, prefix: str) -> list[Arrival]:
        """Return the objects whose keys begin with a prefix that ends in `/`."""
        found = []
        folder = self._objects.joinpath(*(_segment(segment) for segment in prefix.strip("/").split("/")))
        for file in folder.glob("*/*"):
            with suppress(FileNotFoundError):
                at = file.stat()
                found.append(Arrival(f"{prefix}{file.name}", at.st_size, f"{at.st_ino} {at.st_mtime_ns}"))
        return sorted(found, key=lambda arrival: arrival.key)

    def adopt(self, arrival: Arrival, key: str) -> None:
        """Give the bytes of what arrived another key: both name the same, as nobody writes into them."""
        with self.incoming() as (_, coming):
            coming.unlink()
            os.link(self.place(arrival.key), coming)
            at = coming.stat()
            if f"{at.st_ino} {at.st_mtime_ns}" != arrival.tag:
                raise NotFoundError("another file came under the same name meanwhile")
            _settle(coming, self.place(key))

    def tidy(self, age: float) -> int:
        """Remove files that were on their way when somebody crashed, longer ago than *age* seconds."""
        removed = 0
        for file in self._coming.iterdir():
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < time.time() - age:
                    file.unlink()
                    removed += 1
        return removed

    def _folder(self, upload_id: str) -> Path:
        folder = self._uploads / upload_id
        if not _UPLOAD.fullmatch(upload_id) or not folder.is_dir():
            raise NotFoundError("the object store has no such object or upload")
        return folder


def _segment(segment: str) -> str:
    """Return the name of a part of a key on the disk; keys are made by us, but a mistake must not lead out."""
    if segment in {"", ".", ".."} or "\x00" in segment:
        raise UnavailableError("a key names no place in the store")
    if len(segment.encode()) > _LONGEST:
        return f"~{hashlib.sha256(segment.encode()).hexdigest()}"
    return segment


def _settle(coming: Path, target: Path) -> None:
    """Rename, and have the folder know it even if the power fails."""
    while True:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            coming.replace(target)
        except FileNotFoundError:
            if not coming.exists():
                raise
            continue  # somebody took the empty folder away, or it is about to be made again
        break
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _join(files: Sequence[Path], target: Path) -> None:
    """Copy files behind each other, inside the kernel."""
    with target.open("r+b") as sink:
        for file in files:
            with file.open("rb") as source:
                while os.copy_file_range(source.fileno(), sink.fileno(), _BLOCK):
                    pass
        os.fsync(sink.fileno())
