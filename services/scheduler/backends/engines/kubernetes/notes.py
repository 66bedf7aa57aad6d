"""Why a Job has no pod: the events of the Job controller, and what Kueue says. Asked for only where that is so."""

from __future__ import annotations

from time import monotonic
from typing import Final

from contracts.errors import UnavailableError

from .cluster import Cluster
from .errors import AnswerError
from .kinds import EVENTS, WORKLOADS
from .records import Event, Workload

__all__ = ["Notes"]

_EVERY: Final = 5.0
_FAILED: Final = "involvedObject.kind=Job,reason=FailedCreate"
_JOB_UID: Final = "kueue.x-k8s.io/job-uid"


class Notes:
    """What the cluster noted of Jobs, by their uid."""

    def __init__(self, cluster: Cluster, namespace: str | None) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._asked = -_EVERY
        self._said: dict[str, str] = {}

    async def ask(self, *, queued: bool) -> bool:
        """Ask anew, unless that was lately; says whether it asked. *queued*: Jobs of Kueue are among them."""
        if monotonic() - self._asked < _EVERY:
            return False
        self._asked = monotonic()
        self._said = await self._events()
        if queued:
            self._said |= await self._workloads()
        return True

    def of(self, uid: str) -> str:
        """Return what was noted of a Job."""
        return self._said.get(uid, "")

    async def _events(self) -> dict[str, str]:
        try:
            events, _ = await self._cluster.list(EVENTS, Event, namespace=self._namespace, fields=_FAILED)
        except (AnswerError, UnavailableError):
            # It is only to tell people more; what matters is seen in Jobs and pods.
            return {}
        return {event.involved_object.uid: f"{event.reason}: {event.message}" for event in events}

    async def _workloads(self) -> dict[str, str]:
        try:
            workloads, _ = await self._cluster.list(WORKLOADS, Workload, namespace=self._namespace)
        except (AnswerError, UnavailableError):
            return {}
        said = {}
        for workload in workloads:
            waits = next((item for item in workload.status.conditions if item.type == "QuotaReserved"), None)
            if waits is not None and not waits.holds:
                said[workload.metadata.labels.get(_JOB_UID, "")] = f"{waits.reason}: {waits.message}"
        return said
