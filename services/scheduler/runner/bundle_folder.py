"""What the runner knows of the tasks of a bundle, in the bundle's folder: enough for another runner to go on."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contracts.ranges import Ranges

from .journal import RunFolder

__all__ = ["SPARE", "BundleFolder", "Key", "Started"]

Key = tuple[int, int]
"""A task's number and attempt."""

SPARE = "spare"
"""The folder, beside those of the runs, of empty folders for tasks to come."""

_SPARE = 512
_NEW = 0o40700

_OURS = ("stdout", "stderr", "exit", "shell", "groups")


@dataclass(frozen=True, slots=True)
class Started:
    """That a task's process was started."""

    at: float
    """When, in seconds since 1970."""
    gpus: tuple[int, ...] = ()


class BundleFolder:
    """The tasks' part of a bundle's folder: lines are appended, a torn last one is passed over."""

    def __init__(self, folder: RunFolder, spare: deque[Path] | None = None) -> None:
        self._name = folder.name
        self._spare = deque() if spare is None else spare
        self._pool = folder.path.parent / SPARE
        self._pool.mkdir(mode=0o700, exist_ok=True)
        self._tasks = folder.path / "tasks"
        self._started = folder.path / "started"
        self._told = folder.path / "told"
        self._canceled = folder.path / "canceled"
        self.pack = folder.path / "pack"
        self.shared = folder.path / "shared"
        self._tasks.mkdir(mode=0o700, exist_ok=True)

    def task(self, key: Key) -> RunFolder:
        """Return the folder of a task, which need not exist; its processes are marked by its name."""
        folder = RunFolder(self._tasks / f"{key[0]}.{key[1]}")
        folder.name = f"{self._name}/{key[0]}"
        return folder

    def create(self, folder: RunFolder) -> None:
        """Make a task's folder, if there is one of a task that is over, of that."""
        while self._spare:
            try:
                os.rename(self._spare.pop(), folder.path)  # noqa: PTH104
            except (IndexError, OSError):
                continue
            return
        for path in (folder.path, folder.work, folder.temporary):
            os.mkdir(path, 0o700)  # noqa: PTH102 (ten thousand times; a Path's own call costs more)

    def known(self) -> Iterator[Key]:
        """Return the tasks that have folders."""
        for path in sorted(self._tasks.iterdir()):
            index, _, attempt = path.name.partition(".")
            yield int(index), int(attempt)

    def note_start(self, key: Key, started: Started) -> None:
        """Note that the process of a task was started."""
        gpus = ",".join(str(index) for index in started.gpus) or "-"
        _append(self._started, f"{key[0]} {key[1]} {started.at:.6f} {gpus}\n")

    def starts(self) -> dict[Key, Started]:
        """Return the processes that were started."""
        found: dict[Key, Started] = {}
        for line in _lines(self._started):
            index, attempt, at, gpus = line.split()
            indices = () if gpus == "-" else tuple(int(part) for part in gpus.split(","))
            found[int(index), int(attempt)] = Started(float(at), indices)
        return found

    def note_told(self, keys: Iterable[Key]) -> None:
        """Note that the ends of tasks are in a report that is kept."""
        _append(self._told, " ".join(f"{index}.{attempt}" for index, attempt in keys) + "\n")

    def told(self) -> set[Key]:
        """Return the tasks whose end was told."""
        words = (word.partition(".") for line in _lines(self._told) for word in line.split())
        return {(int(index), int(attempt)) for index, _, attempt in words}

    def note_canceled(self, tasks: Ranges) -> None:
        """Note tasks that are to end."""
        _append(self._canceled, f"{tasks}\n")

    def canceled(self) -> Ranges:
        """Return the tasks that are to end."""
        found = Ranges(())
        for line in _lines(self._canceled):
            found = found | Ranges.parse(line)
        return found

    def add_log(self, source: Path) -> tuple[int, int]:
        """Put a task's output behind what the pack holds; return where it lies and how long it is."""
        try:
            size = os.stat(source).st_size  # noqa: PTH116
        except FileNotFoundError:
            return 0, 0
        if not size:
            return 0, 0
        with self.pack.open("ab") as pack, source.open("rb") as output:
            offset = pack.seek(0, os.SEEK_END)
            shutil.copyfileobj(output, pack, 1024 * 1024)
            return offset, pack.tell() - offset

    def remove(self, keys: Iterable[Key]) -> None:
        """Remove the folders of tasks that are over."""
        for key in keys:
            folder = self.task(key)
            for name in _OURS:
                with suppress(OSError):
                    os.unlink(folder.path / name)  # noqa: PTH108
            if not self._put_by(folder):
                folder.remove()

    def _put_by(self, folder: RunFolder) -> bool:
        """Keep an empty folder for a task to come: making and removing them costs more than all else here."""
        try:
            if len(self._spare) >= _SPARE or not all(_is_as_new(path) for path in (folder.work, folder.temporary)):
                return False
            place = self._pool / folder.name.replace("/", ".")
            os.rename(folder.path, place)  # noqa: PTH104
        except OSError:
            return False
        self._spare.append(place)
        return True


def _is_as_new(path: Path) -> bool:
    found = os.stat(path)  # noqa: PTH116
    with os.scandir(path) as entries:
        return found.st_mode == _NEW and next(entries, None) is None


def _append(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1]
