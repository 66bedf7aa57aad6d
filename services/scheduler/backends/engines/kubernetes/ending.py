"""Ends native jobs and removes what is left of them; those that share a Job one by one."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection

from services.scheduler.backends.engines.base import Native

from .cluster import Cluster
from .errors import translated
from .kinds import JOBS, PODS, SECRETS
from .names import Address, Names
from .records import Job
from .view import View

__all__ = ["Endings"]


class Endings:
    """A Job goes as a whole when nobody wants any of it; else the pods of what nobody wants do."""

    def __init__(self, cluster: Cluster, names: Names, view: View) -> None:
        self._cluster = cluster
        self._names = names
        self._view = view
        self._doomed: defaultdict[str, set[str]] = defaultdict(set)
        """Indices of Jobs (their uids) that are to end: some had no pod yet when that was said."""

    async def stop(self, natives: Collection[Native]) -> None:
        """Have native jobs end; each is there until its pods are gone."""
        whole, shared = await self._sorted(natives)
        acts = [self._delete(name, address, "Foreground") for name, address in whole]
        for uid, indices in shared.items():
            self._doomed[uid] |= indices
        await asyncio.gather(*acts, *(self._pursue(uid) for uid in shared))

    async def pursue(self) -> None:
        """End the pods that were made since for what was to end."""
        await asyncio.gather(*(self._pursue(uid) for uid in list(self._doomed)))

    async def _pursue(self, uid: str) -> None:
        job, indices = await self._view.find(uid), self._doomed[uid]
        left = self._view.live(job) if job is not None else set()
        if job is None or job.metadata.deletion_timestamp or not left & indices:
            del self._doomed[uid]
        elif left <= indices:
            await self._delete(job.metadata.name, Address(job.metadata.namespace, uid), "Foreground")
        else:
            await asyncio.gather(*(self._end_pods(job, index) for index in sorted(left & indices)))

    async def remove(self, natives: Collection[Native]) -> None:
        """Delete Jobs at once, and what was made for them; one that is shared goes with the last of those it was."""
        whole, shared = await self._sorted(natives)
        acts = [self._delete(name, address, "Background") for name, address in whole]
        for uid, indices in shared.items():
            job = await self._view.find(uid)
            if job is not None and self._view.hide(job, indices):
                acts.append(self._delete(job.metadata.name, Address(job.metadata.namespace, uid), "Background"))
        await asyncio.gather(*acts)

    async def _sorted(
        self, natives: Collection[Native]
    ) -> tuple[list[tuple[str, Address | None]], dict[str, set[str]]]:
        """Return those that are Jobs of their own, and the indices of those that share one, by its uid."""
        whole: list[tuple[str, Address | None]] = []
        shared: defaultdict[str, set[str]] = defaultdict(set)
        for native in natives:
            address = Address.of(native) or await self._view.address(native.name)
            if address is None or not address.index:
                whole.append((native.name, address))
            else:
                shared[address.uid].add(address.index)
        return whole, shared

    async def _end_pods(self, job: Job, index: str) -> None:
        """Have the pods of one index go; it is not tried again."""
        with translated():
            for pod in self._view.pods(job, index):
                if pod.metadata.deletion_timestamp:
                    continue
                exactly = {"preconditions": {"uid": pod.metadata.uid}}
                await self._cluster.delete(PODS, job.metadata.namespace, pod.metadata.name, **exactly)

    async def _delete(self, name: str, address: Address | None, how: str) -> None:
        namespace = address.namespace if address else self._names.watched
        if namespace is None:
            return
        exactly = {"preconditions": {"uid": address.uid}} if address else {}
        if address:
            self._view.dismissed(name, address.uid)
        with translated():
            await self._cluster.delete(JOBS, namespace, name, propagationPolicy=how, **exactly)
            if address is None or how == "Background":
                await self._cluster.delete(SECRETS, namespace, name)
