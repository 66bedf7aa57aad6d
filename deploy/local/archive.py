"""The file of a backup: a tar whose last member lists every other one with its size and checksum."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .servers import StartError

__all__ = ["MANIFEST", "ArchiveWriter", "extract", "open_archive"]

MANIFEST = "manifest.json"
"""The last member."""

_PIECE = 2**20
_KINDS = (".tar", ".tar.gz", ".tgz")


class ArchiveWriter:
    """Adds members and remembers their checksums."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, path: Path) -> None:
        """Add a file that nobody changes meanwhile."""
        with path.open("rb") as file:
            self.add_stream(name, file, path.stat().st_size)

    def add_stream(self, name: str, source: IO[bytes], size: int) -> None:
        """Add what *source* gives; if it gives less than *size*, zeros follow and the checksum says so."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        reader = _Summing(source)
        self._tar.addfile(info, reader)
        self._members[name] = {"size": size, "sha256": reader.digest.hexdigest()}

    def finish(self, facts: dict[str, Any]) -> None:
        """Write the list of all members, with *facts* about the whole."""
        raw = json.dumps({**facts, "members": self._members}, indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(raw), 0o600
        self._tar.addfile(info, io.BytesIO(raw))


class _Summing:
    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self.digest.update(piece)
        return piece


@contextmanager
def open_archive(path: Path) -> Iterator[ArchiveWriter]:
    """Write a backup to *path*, all of it or nothing; only we can read it, for it holds secrets."""
    if not path.name.endswith(_KINDS):
        raise StartError(f"{path}: the name of a backup ends with {', '.join(_KINDS)}")
    if path.exists():
        raise StartError(f"{path} exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.partial")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
            with (
                _packed(raw, path.name) as sink,
                tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                yield ArchiveWriter(tar)
            raw.flush()
            os.fsync(raw.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _packed(raw: IO[bytes], name: str) -> AbstractContextManager[Any]:
    """Return what to write the tar into; the raw file stays open behind it."""
    return nullcontext(raw) if name.endswith(".tar") else gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3)


def extract(path: Path, folder: Path) -> dict[str, Any]:
    """Unpack a backup into an empty *folder* and verify every byte; returns its manifest, or leaves nothing behind."""
    try:
        return _extract(path, folder)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, tarfile.TarError | EOFError | OSError | ValueError | KeyError):
            raise StartError(f"{path} is no whole backup: {error}") from error
        raise


def _extract(path: Path, folder: Path) -> dict[str, Any]:
    sums: dict[str, dict[str, Any]] = {}
    manifest: dict[str, Any] = {}
    with tarfile.open(path, "r|*") as tar:
        for member in tar:
            if manifest:
                raise ValueError("something follows the manifest")
            source = tar.extractfile(member) if member.isreg() else None
            if source is None:
                raise ValueError(f"{member.name!r} is no plain file")
            if member.name == MANIFEST:
                manifest = json.load(source)
                continue
            target = folder / _safe(member.name)
            if member.name in sums:
                raise ValueError(f"{member.name!r} is there twice")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sums[member.name] = _copy(source, target)
    if not manifest:
        raise ValueError("it has no manifest: it was cut off")
    if sums != manifest["members"]:
        wrong = sorted(
            name for name in {*sums, *manifest["members"]} if sums.get(name) != manifest["members"].get(name)
        )
        raise ValueError(f"checksums differ or files are missing: {', '.join(wrong[:5])}")
    return manifest


def _safe(name: str) -> PurePosixPath:
    """Return a name that stays inside; a backup may come from anywhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
        raise ValueError(f"the name {name!r} leads out of the folder")
    return path


def _copy(source: IO[bytes], target: Path) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while piece := source.read(_PIECE):
            digest.update(piece)
            size += file.write(piece)
    return {"size": size, "sha256": digest.hexdigest()}
