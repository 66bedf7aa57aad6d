"""How all native jobs stand, with as few and as small calls as will do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from time import monotonic

from services.scheduler.backends.base import Capacity
from services.scheduler.backends.engines.base import Native, NativeState, Seen

from .cluster import Cluster
from .reading import native_id, seen_of, split_native_id
from .words import AllocStub, Evaluation, JobStub

__all__ = ["Looking"]

_AGAIN = 5.0
"""Seconds after which is asked again why jobs wait: the reasons change although the jobs do not."""


class Looking:
    """The list of jobs says whether anything changed; only then is more asked for, and for all of them at once."""

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self._cluster = cluster
        self._prefix = prefix
        self._versions: dict[str, tuple[int, int]] = {}
        self._seen: dict[str, Seen] = {}
        self._facts: dict[str, tuple[object, ...]] = {}
        self._asked = -_AGAIN
        self._lingers = False

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:
        """Return how they stand, by name."""
        jobs = {job.id: job for job in await self._jobs(known)}
        versions = {name: job.version for name, job in jobs.items()}
        waits = any(seen.state is NativeState.WAITING for seen in self._seen.values())
        if versions != self._versions or self._lingers or (waits and monotonic() - self._asked > _AGAIN):
            self._seen = await self._ask(jobs)
            self._versions, self._asked = versions, monotonic()
        return dict(self._seen)

    async def _jobs(self, known: Collection[Native]) -> list[JobStub]:
        """Return our jobs. That one is missing is believed only where its own namespace says so."""
        jobs = await self._cluster.jobs(self._prefix)
        there = {job.id for job in jobs}
        missing = [namespace for each in known if each.name not in there if (namespace := _namespace_of(each))]
        if missing:
            jobs += [job for job in await self._cluster.jobs_there(self._prefix, missing) if job.id not in there]
        return jobs

    async def _ask(self, jobs: Mapping[str, JobStub]) -> dict[str, Seen]:
        allocs: defaultdict[str, list[AllocStub]] = defaultdict(list)
        for alloc in await self._cluster.allocs_of(self._prefix):
            allocs[alloc.job_id].append(alloc)
        evals = await self._evals(job for job in jobs.values() if job.status != "dead" and not allocs[job.id])
        purged = _purged(allocs, jobs)
        self._lingers = bool(purged)
        seen = {name: self._seen_of(job, allocs[name], evals[name]) for name, job in jobs.items()}
        self._facts = {name: facts for name, facts in self._facts.items() if name in jobs}
        return purged | seen

    def _seen_of(self, job: JobStub, allocs: list[AllocStub], evals: list[Evaluation]) -> Seen:
        facts = (job.version, *(alloc.modify_index for alloc in allocs))
        if evals or self._facts.get(job.id) != facts:
            self._facts[job.id] = facts
            return seen_of(job, allocs, evals)
        return self._seen[job.id]

    async def _evals(self, waiting: Iterable[JobStub]) -> defaultdict[str, list[Evaluation]]:
        found: defaultdict[str, list[Evaluation]] = defaultdict(list)
        for namespace in sorted({job.at for job in waiting}):
            for each in await self._cluster.evals_of(self._prefix, namespace):
                found[each.job_id].append(each)
        return found

    async def places_of(self, natives: Collection[Native]) -> list[tuple[str, str]]:
        """Return names and namespaces; where a native job was never recorded, wherever one of its name is."""
        found = [(each.name, namespace) for each in natives if (namespace := _namespace_of(each))]
        unknown = {each.name for each in natives if not _namespace_of(each)}
        if unknown:
            jobs = await self._cluster.jobs(self._prefix)
            found += [(job.id, job.at) for job in jobs if job.id in unknown]
        return found

    def counted(self, room: Capacity) -> Capacity:
        """Return the room with how many of ours were running and waiting when they were looked at last."""
        states = [seen.state for seen in self._seen.values()]
        return replace(room, running=states.count(NativeState.RUNNING), queued=states.count(NativeState.WAITING))


def _namespace_of(native: Native) -> str:
    return split_native_id(native.native_id)[0]


def _purged(allocs: Mapping[str, list[AllocStub]], jobs: Mapping[str, JobStub]) -> dict[str, Seen]:
    """Return those whose job somebody purged while its program is still being ended."""
    found: dict[str, Seen] = {}
    for name, theirs in allocs.items():
        live = [alloc for alloc in theirs if alloc.client_status in {"pending", "running"}]
        if name not in jobs and live:
            where = native_id(live[0].namespace, name)
            found[name] = Seen(name, where, NativeState.RUNNING, "its job was purged", node=live[0].node_name)
    return found
