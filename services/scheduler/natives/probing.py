"""What operators see of clusters: native jobs that cannot be started, and those that do not go away."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

from sqlalchemy import RowMapping

from contracts.model import now
from contracts.operations import Finding, Severity
from services.chassis.unit import UnitOfWork
from services.scheduler.backends.registry import Backends

from . import jobs

__all__ = ["NativeProbes"]

_LONG = timedelta(seconds=60)
_AT_MOST = 200
_SHOWN = 10


class NativeProbes:
    """Looks for native jobs that stand still."""

    def __init__(self, *, unit: UnitOfWork, backends: Backends) -> None:
        self._unit = unit
        self._backends = backends

    async def natives(self) -> list[Finding]:
        """Say which native jobs cannot be started, and which nobody wants and are there all the same."""
        async with self._unit.reading() as connection:
            rows = await jobs.stuck(connection, now() - _LONG, _AT_MOST)
        names = list(dict.fromkeys(row["backend"] for row in rows))
        stuck = [_stuck(name, [row for row in rows if row["backend"] == name]) for name in names]
        return [*stuck, *self._orphans()]

    def _orphans(self) -> list[Finding]:
        """Speak of those that this process was told of by the clusters that it keeps."""
        late, findings = monotonic() - _LONG.total_seconds(), []
        for backend in self._backends.clusters:
            orphans = sorted(name for name, since in backend.cluster.orphans.items() if since < late)
            if orphans:
                findings.append(
                    Finding(
                        code="native-orphans",
                        severity=Severity.WARNING,
                        part=backend.name,
                        what=f"{len(orphans)} native jobs on {backend.name} are ours, wanted by nobody, and do not end",
                        evidence=orphans[:_SHOWN],
                        cause="the cluster does not obey, or another site uses the same `prefix` on it",
                        remedy="look at one of them with the cluster's own tools, and end it there",
                    )
                )
        return findings


def _stuck(backend: str, rows: list[RowMapping]) -> Finding:
    errors = list(dict.fromkeys(row["error"] for row in rows))
    return Finding(
        code="natives-not-started",
        severity=Severity.CRITICAL,
        part=backend,
        what=f"{len(rows)} native jobs could not be started on {backend} for {_LONG.total_seconds():.0f} s",
        evidence=[*errors[:3], *(f"{row['name']} tries={row['tries']}" for row in rows[:_SHOWN])],
        cause=errors[0],
        remedy="see to what the cluster says; they are tried again by themselves, and nothing is lost",
    )
