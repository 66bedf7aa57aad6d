"""Which line of the queue is which native job: names of arrays are remembered, or read from their comments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

from contracts.states import Reason
from services.scheduler.backends.engines.base import Native, NativeState, Seen

from .identity import array_of, native_id_of, number_of, submitted_of, whole_of
from .names import names_of
from .rows import Detail, Row, expand, seen_of

__all__ = ["Register", "View"]

_TAKEN = "Slurm: CANCELLED (it was taken out of the queue)"


@dataclass(slots=True)
class View:
    """What the queue shows of our native jobs."""

    found: dict[str, Seen] = field(default_factory=dict)
    """By name."""
    hanging: set[str] = field(default_factory=set)
    """Native ids of jobs that are over for us, and not for Slurm."""
    doubles: list[Seen] = field(default_factory=list)
    """Jobs that are there a second time: of the first one nobody heard whether it was taken."""

    def is_left(self, one: Seen) -> bool:
        """Say whether Slurm may still do something for a job."""
        return one.state is not NativeState.ENDED or one.native_id in self.hanging


class Register:
    """It forgets nothing that is still in the queue; after a restart it learns anew.

    A number alone tells nothing: arrays are kept by what `whole_of` returns.
    """

    def __init__(self, site: str, clock: Callable[[], float] = monotonic) -> None:
        self._begin = f"{site}-"
        self._clock = clock
        self._arrays: dict[str, Sequence[str]] = {}
        self._read: dict[Row, list[Seen]] = {}
        self._waited: dict[str, Seen] = {}
        self._waited_at = -1.0

    def note(self, number: str, submitted: int, names: Sequence[str]) -> None:
        """Remember the tasks of an array that was just started; the array is called like the first one."""
        if submitted and len(names) > 1:
            self._arrays[whole_of(number, submitted, names[0])] = names

    def strangers(self, rows: Collection[Row], known: Collection[Native]) -> set[str]:
        """Return the numbers of arrays of ours whose tasks have no names yet."""
        fresh = [row for row in rows if row not in self._read and self._is_ours(row) and row.whole not in self._arrays]
        if not fresh:
            return set()
        expected = {array_of(native.native_id) for native in known if "_" in native.native_id}
        return {array_of(row.job) for row in fresh if "_" in row.job or row.job in expected}

    def learn(self, details: Iterable[Detail]) -> None:
        """Read the names of tasks from the comments of their arrays."""
        for one in details:
            self._arrays[whole_of(one.number, one.submitted, one.name)] = names_of(one.comment)

    def read(self, rows: Iterable[Row], known: Collection[Native]) -> View:
        """Say of all our native jobs how they stand. A row that was read before is not read again."""
        before, self._read = self._read, {}
        arrays: set[str] = set()
        view = View()
        rivals: dict[str, list[Seen]] = {}
        rests: list[Row] = []
        for row in rows:
            seen = before.get(row) or self._read_anew(row, known, rests)
            if "_" in row.job:
                arrays.add(row.whole)
            if not seen:
                continue
            self._read[row] = seen
            for one in seen:
                if (other := view.found.setdefault(one.name, one)) is not one:
                    rivals.setdefault(one.name, [other]).append(one)
            if seen[0].state is NativeState.ENDED and not row.is_over:
                view.hanging.update(one.native_id for one in seen)
        for row in rests:
            arrays.add(row.whole)
            self._read_rest(row, view.found)
        self._arrays = {array: tasks for array, tasks in self._arrays.items() if array in arrays}
        if rivals:
            _settle(rivals, view, known)
        return view

    def _read_anew(self, row: Row, known: Collection[Native], rests: list[Row]) -> list[Seen]:
        """Read a row that was not read before; one that is about the rest of an array is put to *rests*."""
        if not self._is_ours(row) or row.was_refused:
            return []
        if "_" in row.job:
            return self._tasks(row, known)
        if self._arrays.get(row.whole):
            rests.append(row)
            return []
        return [seen_of(row, row.name, native_id_of(row.job, row.submitted))]

    def read_ended(self, rows: Iterable[Row], missing: Mapping[str, str]) -> dict[str, Seen]:
        """Say how those ended that the queue had forgotten; *missing* are their names by native ids.

        A job of its own has its name. A task has that of the first of its array, so its time must agree, where it is
        known. What the accounting takes for running is not: the controller would know it.
        """
        wanted: dict[str, list[str]] = {}
        for native_id in missing:
            wanted.setdefault(number_of(native_id), []).append(native_id)
        pairs = ((row, native_id) for row in rows for native_id in wanted.get(row.job, ()))
        same = ((row, one) for row, one in pairs if self._is_it(row, missing[one], submitted_of(one)))
        found = (seen_of(row, missing[native_id], native_id) for row, native_id in same)
        return {seen.name: seen for seen in found if seen.state is NativeState.ENDED}

    def _is_it(self, row: Row, name: str, submitted: int) -> bool:
        if "_" not in row.job:
            return row.name == name
        return self._is_ours(row) and submitted in {row.submitted, 0}

    def read_vanished(self, missing: Mapping[str, str], found: Mapping[str, Seen], kept: float) -> dict[str, Seen]:
        """Say what became of tasks that waited at the last look and are in no line now: somebody took them out.

        A task that waits is no record of its own, so Slurm remembers nothing of its end. Where the whole array is gone
        they are lost: the controller crashed before it had written down what it knew. And nobody knows where the last
        look is so long ago that they may have run since, and be forgotten: *kept* is how long Slurm knows what ended.
        """
        moment = self._clock()
        if moment - self._waited_at >= kept:
            self._waited = {}
        there = {name for names in self._arrays.values() for name in names} if missing and self._waited else set()
        vanished = {
            name: replace(self._waited[name], state=NativeState.ENDED, reason=_TAKEN, ending=Reason.CANCELED)
            for name in missing.values()
            if name in self._waited and name in there
        }
        waiting = {name: one for name, one in found.items() if one.state is NativeState.WAITING}
        self._waited = waiting | {name: self._waited[name] for name in vanished}
        self._waited_at = moment
        return vanished

    def _is_ours(self, row: Row) -> bool:
        return row.name.startswith(self._begin)

    def _tasks(self, row: Row, known: Collection[Native]) -> list[Seen]:
        names = self._arrays.get(row.whole) or _expected(row, known)
        ids = [(number, native_id_of(number, row.submitted)) for number in expand(row.job)]
        return [seen_of(row, name, one) for number, one in ids if (name := _name_of(number, names))]

    def _read_rest(self, row: Row, found: dict[str, Seen]) -> None:
        """Read the line of an array whose waiting tasks ended together: it is about all that have no line."""
        for index, name in enumerate(self._arrays[row.whole]):
            if name not in found:
                found[name] = seen_of(row, name, native_id_of(f"{row.job}_{index}", row.submitted))


def _name_of(number: str, names: Sequence[str] | Mapping[int, str]) -> str | None:
    index = int(number.partition("_")[2])
    if isinstance(names, Mapping):
        return names.get(index)
    return names[index] if index < len(names) else None


def _expected(row: Row, known: Collection[Native]) -> dict[int, str]:
    """Return the names of tasks by what we know of them, where somebody has changed the comment of their array.

    Those of which an older version did not write down when they were submitted go by their number.
    """
    array = array_of(row.job)
    of_it = (native for native in known if "_" in native.native_id and array_of(native.native_id) == array)
    same = (native for native in of_it if submitted_of(native.native_id) in {row.submitted, 0})
    return {int(number_of(native.native_id).partition("_")[2]): native.name for native in same}


def _settle(rivals: Mapping[str, Sequence[Seen]], view: View, known: Collection[Native]) -> None:
    """Choose one of several jobs of the same name: what runs, what we know, what has not ended, what came first."""
    ids = {native.name: native.native_id for native in known}
    for name, those in rivals.items():
        kept = min(those, key=lambda one: _rank(one, ids.get(one.name)))
        view.found[name] = kept
        view.doubles.extend(one for one in those if one is not kept and view.is_left(one))


def _rank(one: Seen, known: str | None) -> tuple[bool, bool, bool, int, str]:
    state = one.state
    return (
        state is not NativeState.RUNNING,
        one.native_id != known,
        state is NativeState.ENDED,
        submitted_of(one.native_id),
        one.native_id,
    )
