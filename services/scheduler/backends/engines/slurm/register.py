"""Which line of the queue is which native job: names of arrays are remembered, or read from their comments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from contracts.states import Reason
from services.scheduler.backends.engines.base import Native, NativeState, Seen

from .names import names_of
from .rows import Row, expand, seen_of

__all__ = ["Register"]

_TAKEN = "Slurm: CANCELLED (it was taken out of the queue)"


class Register:
    """It forgets nothing that is still in the queue; after a restart it learns anew."""

    def __init__(self, site: str) -> None:
        self._begin = f"{site}-"
        self._arrays: dict[str, Sequence[str]] = {}
        self._read: dict[Row, list[Seen]] = {}
        self._waited: dict[str, Seen] = {}
        self.hanging: set[str] = set()
        """Jobs that are over for us, and not for Slurm."""

    def note(self, job: str, names: Sequence[str]) -> None:
        """Remember the tasks of an array that was just started. A controller that crashed gives numbers again."""
        self._arrays.pop(job, None)
        if len(names) > 1:
            self._arrays[job] = names

    def strangers(self, rows: Collection[Row], known: Collection[Native]) -> set[str]:
        """Return the arrays of ours whose tasks have no names yet.

        An array is called like its first task: under another name its number was given again by a controller that
        crashed, and what we knew of it is about nobody any more.
        """
        for row in rows:
            array = row.job.partition("_")[0]
            if self._is_task(row) and row.name not in self._arrays.get(array, (row.name,))[:1]:
                del self._arrays[array]
        expected = _arrays_of(known)
        arrays = {row.job.partition("_")[0] for row in rows if self._is_task(row) or row.job in expected}
        return arrays - self._arrays.keys()

    def learn(self, comments: Mapping[str, str]) -> None:
        """Read the names of tasks from the comments of their arrays."""
        self._arrays.update((array, names_of(comment)) for array, comment in comments.items())

    def read(self, rows: Iterable[Row], known: Collection[Native]) -> dict[str, Seen]:
        """Say of all our native jobs how they stand. A row that was read before is not read again."""
        names = {native.native_id: native.name for native in known if "_" in native.native_id}
        before, self._read = self._read, {}
        arrays: set[str] = set()
        found: dict[str, Seen] = {}
        rests: list[Row] = []
        self.hanging = set()
        for row in rows:
            if row.job in self._arrays and row.name in self._arrays[row.job][:1]:
                rests.append(row)
            elif row.name.startswith(self._begin) and not row.was_refused:
                seen = before.get(row)
                if seen is None:
                    seen = self._seen(row, names)
                self._read[row] = seen
                found.update((one.name, one) for one in seen)
                if seen and seen[0].state is NativeState.ENDED and not row.is_over:
                    self.hanging.update(one.name for one in seen)
                arrays.add(row.job.partition("_")[0])
        for row in rests:
            arrays.add(row.job)
            self._read_rest(row, found)
        self._arrays = {array: tasks for array, tasks in self._arrays.items() if array in arrays}
        return found

    def read_ended(self, rows: Iterable[Row], missing: Mapping[str, str]) -> dict[str, Seen]:
        """Say how those ended that the queue had forgotten.

        Numbers start again at times, so their names must agree. What the accounting takes for running is not: the
        controller would know it.
        """
        named = ((missing.get(row.job), row) for row in rows if self._is_task(row) or row.name == missing.get(row.job))
        seen = (seen_of(row, name, row.job) for name, row in named if name is not None)
        return {one.name: one for one in seen if one.state is NativeState.ENDED}

    def read_vanished(self, missing: Mapping[str, str], found: Mapping[str, Seen]) -> dict[str, Seen]:
        """Say what became of tasks that waited at the last look and are in no line now: somebody took them out.

        A task that waits is no record of its own, so Slurm remembers nothing of its end. Where the whole array is gone
        they are lost: the controller crashed before it had written down what it knew.
        """
        vanished = {
            name: replace(self._waited[name], state=NativeState.ENDED, reason=_TAKEN, ending=Reason.CANCELED)
            for native_id, name in missing.items()
            if name in self._waited and name in self._arrays.get(native_id.partition("_")[0], ())
        }
        waiting = {name: one for name, one in found.items() if one.state is NativeState.WAITING}
        self._waited = waiting | {name: self._waited[name] for name in vanished}
        return vanished

    def _is_task(self, row: Row) -> bool:
        return "_" in row.job and row.name.startswith(self._begin)

    def _seen(self, row: Row, names: Mapping[str, str]) -> list[Seen]:
        if "_" not in row.job:
            return [seen_of(row, row.name, row.job)]
        # What is expected under a number may be lost, and the number given again: the array knows its own better.
        named = ((self._name_of(native_id) or names.get(native_id), native_id) for native_id in expand(row.job))
        return [seen_of(row, name, native_id) for name, native_id in named if name]

    def _name_of(self, native_id: str) -> str | None:
        array, _, index = native_id.partition("_")
        names = self._arrays.get(array, ())
        return names[int(index)] if int(index) < len(names) else None

    def _read_rest(self, row: Row, found: dict[str, Seen]) -> None:
        """Read the line of an array whose waiting tasks ended together: it is about all that have no line."""
        for index, name in enumerate(self._arrays[row.job]):
            if name not in found:
                found[name] = seen_of(row, name, f"{row.job}_{index}")


def _arrays_of(known: Collection[Native]) -> set[str]:
    return {array for array, found, _ in (native.native_id.partition("_") for native in known) if found}
