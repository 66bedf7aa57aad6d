"""Writing the event log to a file, so that a broken export goes on where it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.errors import InvalidError
from shunter.models import EventItem
from shunter.transfers.checksums import sha256_of

__all__ = ["Exported", "export_events"]


class _Events(Protocol):
    def __call__(self, *, after: int) -> Iterator[EventItem]: ...


@dataclass(frozen=True, slots=True)
class Exported:
    """What a file holds after an export."""

    added: int
    events: int
    last_sequence: int
    sha256: str


def export_events(events: _Events, file: Path) -> Exported:
    """Add all events behind those that *file* holds already."""
    known, last = _take_up(file)
    added = 0
    with file.open("a", encoding="utf-8") as sink:
        for item in events(after=last):
            sink.write(item.model_dump_json(exclude_none=True) + "\n")
            added, last = added + 1, item.sequence
        sink.flush()
        os.fsync(sink.fileno())
    return Exported(added, known + added, last, sha256_of(file))


def _take_up(file: Path) -> tuple[int, int]:
    """Return how many events there are and the number of the last; a line that was cut off is dropped."""
    if not file.exists():
        return 0, 0
    count, last, end = 0, 0, 0
    with file.open("r+b") as found:
        for line in found:
            if not line.endswith(b"\n"):
                break
            last = _sequence_of(line, file)
            count, end = count + 1, end + len(line)
        found.truncate(end)
    return count, last


def _sequence_of(line: bytes, file: Path) -> int:
    try:
        return int(json.loads(line)["sequence"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"{file} holds something else than exported events; nothing was written") from error
