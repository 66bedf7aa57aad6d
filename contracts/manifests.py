"""The files that a job is given, as they were when it was submitted: one list, in which each place stands once."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import InvalidError
from .runs import FrozenInput

__all__ = ["MAX_FILES", "check_manifest", "merged"]

MAX_FILES = 10_000
"""Files that one job may be given."""

_MAX_BYTES = 3 * 2**20
"""Of all paths of a manifest, which has to fit into one message with the rest of the job."""

_EACH = 220
"""Bytes that a file takes in a manifest besides its paths."""


def check_manifest(inputs: Iterable[FrozenInput]) -> None:
    """Refuse more than can be told of in one message."""
    count = size = 0
    for item in inputs:
        count += 1
        size += len(item.source.encode()) + len(item.target.encode()) + _EACH
    if count > MAX_FILES:
        raise InvalidError.of("inputs", f"more than {MAX_FILES} files are not taken; put them into an archive")
    if size > _MAX_BYTES:
        raise InvalidError.of("inputs", "the paths of all files together are too long; put them into an archive")


def merged(sets: Iterable[tuple[str, list[FrozenInput]]]) -> list[FrozenInput]:
    """Return the files of several sets, each with the name of its field: of those with one place the last is there.

    Refuses a place that would have to be a file and a folder at once.
    """
    files: dict[str, FrozenInput] = {}
    fields: dict[str, str] = {}
    for field, items in sets:
        for item in items:
            files.pop(item.target, None)
            files[item.target] = item
            fields[item.target] = field
    for target in files:
        end = target.find("/")
        while end > 0:
            if target[:end] in files:
                raise InvalidError.of(
                    fields[target], f"{target[:end]} would have to be a file and a folder: {files[target[:end]].source}"
                )
            end = target.find("/", end + 1)
    return list(files.values())
