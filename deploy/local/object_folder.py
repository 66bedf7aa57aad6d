"""The objects of a store that is a folder of the data folder; each is put there whole and never changes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .archive import ArchiveWriter

__all__ = ["add_object_folder", "outside", "put_object_folder_back"]

_STORE = "store"
"""Where its objects lie in a backup."""

_PLACE = Path("objects", "objects")
"""Where they lie in the data folder; what else is beside them is under way."""


def add_object_folder(archive: ArchiveWriter, data: Path, scratch: Path) -> int:
    """Add all objects and return how many; one that is swept meanwhile is named by no file any more."""
    held, added = scratch / "object", 0
    for path in _files(data / _PLACE):
        with suppress(FileNotFoundError):
            held.hardlink_to(path)
            archive.add(f"{_STORE}/{path.relative_to(data / _PLACE)}", held)
            added += 1
        held.unlink(missing_ok=True)
    return added


def put_object_folder_back(data: Path) -> int:
    """Put what was extracted to its place and return how many objects that are."""
    if not (data / _STORE).is_dir():
        return 0
    for folder in (data / _PLACE.parent, data / _PLACE):
        folder.mkdir(mode=0o700)
    for entry in (data / _STORE).iterdir():
        entry.rename(data / _PLACE / entry.name)
    shutil.rmtree(data / _STORE)
    return sum(1 for _ in _files(data / _PLACE))


def outside(data: Path, settings: dict[str, Any]) -> str | None:
    """Return where the objects lie if that is elsewhere: a copy of the stack must not share them."""
    path = (settings["storage"].get("objects") or {}).get("path")
    return None if path is None or Path(path).resolve() == (data / _PLACE.parent).resolve() else str(path)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
