"""Builds the pilot: one file that any Python from 3.9 on runs, with the NATS library in it."""

from __future__ import annotations

import hashlib
import io
import marshal
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

__all__ = ["Archive", "build", "write_archive"]

_NAME = "shunter_pilot"
_LIBRARY = "nats-py"
_START = f'"""Starts the pilot."""\n\nfrom {_NAME}.main import run\n\nrun()\n'
_SELDOM = ("__main__", "nats/js/", "nats/micro/")
_UNCHECKED = 1
"""That a compiled file is known by the hash of its source, which nobody need compare."""
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""What time all files have: the same sources make the same bytes."""


@dataclass(frozen=True, slots=True)
class Archive:
    """The pilot as it lies on this machine."""

    path: Path
    sha256: str
    size: int


@cache
def build() -> bytes:
    """Return the bytes of the pilot."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted([*_files(), *_compiled(_files())]):
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), content, zipfile.ZIP_DEFLATED, 9)
    return sink.getvalue()


def _compiled(files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Return what is loaded at every start as our own Python compiles it: one of the same version begins sooner."""
    for name, content in files:
        if name.endswith(".py") and not name.startswith(_SELDOM):
            # The oldest form has no back references, which depend on what else is in memory: the bytes are the same.
            code = marshal.dumps(compile(content, name, "exec", dont_inherit=True, optimize=0), 2)
            head = MAGIC_NUMBER + _UNCHECKED.to_bytes(4, "little") + source_hash(content)
            yield f"{name}c", head + code


def _files() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _START.encode()
    package = Path(__file__).parents[1] / "pilot"
    for path in package.glob("*.py"):
        yield f"{_NAME}/{path.name}", path.read_bytes()
    library = distribution(_LIBRARY)
    for file in library.files or ():
        wanted = file.suffix == ".py" or file.name == "METADATA" or "licenses" in file.parts or "LICENSE" in file.name
        if wanted and ".." not in file.parts:
            yield file.as_posix(), Path(str(file.locate())).read_bytes()


def write_archive(folder: Path) -> Archive:
    """Write the pilot into a folder, for engines that mount or copy it."""
    content = build()
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"pilot-{digest[:16]}.pyz"
    if not path.exists() or path.read_bytes() != content:
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_bytes(content)
        draft.chmod(0o644)
        draft.rename(path)
    return Archive(path, digest, len(content))
