"""How all our native jobs stand, worked out anew only for those of which something changed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState, Seen

from .cluster import Cluster
from .errors import translated
from .indexed import index_of, names_of, shares_of
from .kinds import JOBS, PODS
from .mirror import Mirror
from .names import QUEUE_LABEL, Address, Names, job_of
from .notes import Notes
from .records import Job, Pod
from .states import Patience, departed, is_impatient, stand
from .versions import CURRENT

__all__ = ["View"]

_SILENT: Final = 1.0
"""Seconds without a pod after which it is asked why."""

_REMEMBERED: Final = 600.0
"""Seconds for which a Job that somebody deleted is told of."""


class View:
    """Follows our Jobs and their pods."""

    def __init__(self, cluster: Cluster, names: Names, clock: Callable[[], float] = monotonic) -> None:
        self._cluster = cluster
        self._release = CURRENT
        self._settings = names.settings
        self._patience = Patience(
            stuck=self._settings.image_patience, grace=self._settings.grace, silent=self._settings.lost_after
        )
        self._clock = clock
        scope = names.watched
        self._notes = Notes(cluster, scope)
        self._job_mirror = Mirror(
            cluster,
            JOBS,
            Job,
            namespace=scope,
            labels=names.selector,
            changed=self._job_changed,
            pause=names.settings.again,
        )
        self._pod_mirror = Mirror(
            cluster,
            PODS,
            Pod,
            namespace=scope,
            labels=names.selector,
            changed=self._pod_changed,
            pause=names.settings.again,
        )
        self._jobs: dict[str, Job] = {}
        self._pods: defaultdict[str, dict[str, Pod]] = defaultdict(dict)
        self._deleted: dict[str, tuple[Job, float]] = {}
        self._departed: defaultdict[str, dict[str, Pod]] = defaultdict(dict)
        """The last pod of each index of a Job, as it was when it went."""
        self._dismissed: set[str] = set()
        self._dirty: set[str] = set()
        self._impatient: set[str] = set()
        self._silent: dict[str, float] = {}
        self._since: dict[str, dict[str, float]] = {}
        self._shown: dict[str, list[str]] = {}
        """The native jobs that a Job is, by its name."""
        self._by_uid: dict[str, str] = {}
        """The names of Jobs."""
        self._leaders: dict[str, str] = {}
        """The Job of a native job that shares it, by name."""
        self._hidden: defaultdict[str, set[str]] = defaultdict(set)
        """Indices of a Job (its uid) that were removed, while others of it are there."""
        self._seen: dict[str, Seen] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin to follow."""
        self._tasks = [asyncio.create_task(mirror.run()) for mirror in (self._job_mirror, self._pod_mirror)]

    async def close(self) -> None:
        """Follow no longer."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def look(self) -> dict[str, Seen]:
        """Say how all stand. What was deleted by others is told of for a while, or until it is dismissed."""
        await self._job_mirror.fresh(self._settings.timeout)
        await self._pod_mirror.fresh(self._settings.timeout)
        with translated():
            self._release = await self._cluster.release()
        await self._ask_why()
        for name in [name for name, (_, at) in self._deleted.items() if self._clock() - at > _REMEMBERED]:
            self._forget(name)
        dirty, self._dirty = self._dirty | self._impatient, set()
        for name in dirty:
            self._work_out(name)
        return dict(self._seen)

    def begun(self, job: Job) -> None:
        """Take in a Job that was just made."""
        self._dismissed.discard(job.metadata.uid)
        self._job_mirror.put(job)

    def dismissed(self, name: str, uid: str) -> None:
        """Know that it is us who delete a Job."""
        if name in self._jobs:
            self._dismissed.add(uid)
        else:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._deleted.pop(name, None)
        self._dirty.add(name)

    async def address(self, name: str) -> Address | None:
        """Return where a Job is."""
        await self._job_mirror.fresh(self._settings.timeout)
        job = self._job(self._leaders.get(name, name))
        if job is None or name not in (names := names_of(job)):
            return None
        index = str(names.index(name)) if job.spec.completion_mode == "Indexed" else ""
        return Address(job.metadata.namespace, job.metadata.uid, index)

    def native_id(self, name: str) -> str:
        """Return the native id of one that shares a Job of which was heard; empty if there is none."""
        job = self._jobs.get(self._leaders.get(name, ""))
        if job is None or name not in (names := names_of(job)):
            return ""
        return str(Address(job.metadata.namespace, job.metadata.uid, str(names.index(name))))

    # --- Jobs that are shared -------------------------------------------------------------------------------------

    async def find(self, uid: str) -> Job | None:
        """Return a Job, if it is there."""
        await self._job_mirror.fresh(self._settings.timeout)
        return self._jobs.get(self._by_uid.get(uid, ""))

    def live(self, job: Job) -> set[str]:
        """Return the indices of a Job that have not ended, and were not removed."""
        alive = {index for index, share in shares_of(job) if not share.status.conditions}
        return alive - self._hidden.get(job.metadata.uid, set())

    def pods(self, job: Job, index: str) -> list[Pod]:
        """Return the pods of one index of a Job."""
        pods = _of(job, self._pods.get(job.metadata.name, {}).values())
        return [pod for pod in pods if index_of(pod) == index]

    def hide(self, job: Job, indices: Collection[str]) -> bool:
        """Show some indices of a Job no longer; says whether none is left."""
        hidden = self._hidden[job.metadata.uid]
        hidden |= set(indices)
        self._dirty.add(job.metadata.name)
        return len(hidden) >= len(names_of(job))

    def count(self, state: NativeState) -> int:
        """Return how many stand so."""
        return sum(seen.state is state for seen in self._seen.values())

    def _job(self, name: str) -> Job | None:
        return self._jobs.get(name) or self._deleted.get(name, (None,))[0]

    def _job_changed(self, job: Job, gone: bool) -> None:
        name, uid = job.metadata.name, job.metadata.uid
        self._dirty.add(name)
        if not gone:
            self._jobs[name] = job
            self._by_uid[uid] = name
            self._deleted.pop(name, None)
            if job.spec.completion_mode == "Indexed":
                self._leaders |= dict.fromkeys(names_of(job), name)
            return
        self._by_uid.pop(uid, None)
        self._hidden.pop(uid, None)
        if name in self._jobs and self._jobs[name].metadata.uid == uid:
            del self._jobs[name]
        if uid in self._dismissed:
            self._dismissed.discard(uid)
        elif name not in self._jobs:
            self._deleted[name] = (job, self._clock())

    def _pod_changed(self, pod: Pod, gone: bool) -> None:
        (name, _), uid = job_of(pod.metadata.labels), pod.metadata.uid
        self._dirty.add(name)
        if not gone:
            self._pods[name][uid] = pod
            return
        self._since.pop(uid, None)
        pods = self._pods[name]
        pods.pop(uid, None)
        if not pods:
            del self._pods[name]
        if name in self._jobs:
            self._departed[name][index_of(pod)] = pod

    def _work_out(self, name: str) -> None:
        job = self._job(name)
        self._impatient.discard(name)
        before = self._shown.pop(name, [])
        for one in before:
            self._seen.pop(one, None)
        if job is None:
            self._silent.pop(name, None)
            self._departed.pop(name, None)
            for one in before:
                self._leaders.pop(one, None)
            return
        pods = _of(job, self._pods.get(name, {}).values())
        if is_impatient(pods):
            self._impatient.add(name)
        hidden, is_silent = self._hidden.get(job.metadata.uid, ()), False
        for index, share in shares_of(job):
            mine = [pod for pod in pods if index_of(pod) == index] if index else pods
            last = self._departed.get(name, {}).get(index)
            told = mine or _of(job, [last] if last else [])
            seen = self._stand(name, share, mine, told, job)
            is_silent = is_silent or (seen.state is NativeState.WAITING and not told)
            self._shown.setdefault(name, []).append(share.metadata.name)
            if index not in hidden:
                self._seen[share.metadata.name] = seen
        if is_silent:
            self._silent.setdefault(name, self._clock())
        else:
            self._silent.pop(name, None)

    def _stand(self, name: str, share: Job, pods: Collection[Pod], told: Sequence[Pod], job: Job) -> Seen:
        """Say how one native job stands, of which there are *pods*, and *told* is what was last heard."""
        tells, is_there = self._release.tells_disruptions, name not in self._deleted
        # By whom a pod was taken away is known where the cluster says so, or its Job was taken away as well.
        is_clear = tells or not is_there or job.metadata.deletion_timestamp
        taken = Reason.CANCELED if is_clear else Reason.INTERRUPTED
        seen = stand(share, told, self._note(job), self._held, self._patience, taken=taken)
        if seen.state is NativeState.ENDED or (is_clear and (is_there or _are_alive(pods))):
            return seen
        if not is_there:
            return _taken_away(share)
        # It has made another pod for one that was taken away, and would for ever; that one gets no work.
        gone = _of(job, self._departed.get(name, {}).values()) or [pod for pod in told if _is_taken_away(pod)]
        return departed(job, gone[0], taken) if gone else seen

    def _note(self, job: Job) -> str:
        queue = job.metadata.labels.get(QUEUE_LABEL)
        parts = (f"queue {queue}" if queue else "", self._notes.of(job.metadata.uid))
        return ": ".join(part for part in parts if part)

    def _held(self, uid: str, word: str) -> float:
        since = self._since.setdefault(uid, {})
        return self._clock() - since.setdefault(word, self._clock())

    async def _ask_why(self) -> None:
        silent = [name for name, since in self._silent.items() if self._clock() - since >= _SILENT]
        queued = any(QUEUE_LABEL in self._jobs[name].metadata.labels for name in silent if name in self._jobs)
        if silent and await self._notes.ask(queued=queued):
            self._dirty.update(silent)


def _of(job: Job, pods: Iterable[Pod]) -> list[Pod]:
    return [pod for pod in pods if job_of(pod.metadata.labels)[1] == job.metadata.uid]


def _are_alive(pods: Collection[Pod]) -> bool:
    return any(not pod.has_ended for pod in pods)


def _is_taken_away(pod: Pod) -> bool:
    return bool(pod.metadata.deletion_timestamp and pod.has_ended)


def _taken_away(job: Job) -> Seen:
    return Seen(
        name=job.metadata.name,
        native_id=str(Address(job.metadata.namespace, job.metadata.uid)),
        state=NativeState.ENDED,
        reason="its Job was deleted on the cluster",
        ending=Reason.CANCELED,
    )
