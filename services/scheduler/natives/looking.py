"""Looks at all native jobs of a cluster at once, and makes table and cluster agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

from contracts.envelope import Context
from contracts.model import now
from contracts.states import Reason
from services.scheduler.backends.engines.base import Native, NativeState, Seen
from services.scheduler.records import Record

from . import jobs, store
from .adopting import Adopter
from .cluster import Cluster
from .comparing import Comparison, compare
from .ending import Ender, Outcome
from .reaching import Reacher
from .words import JobState

__all__ = ["Looker"]

_ASK_AGAIN = 20.0
"""Seconds after which the cluster is asked again to stop something that is there still."""

_SWEEP = 30.0
"""Seconds between two looks for what hangs."""

_LATE = timedelta(seconds=60)
"""What a pilot was told to end, or has nothing to do any more, and is there so long after, is stopped."""

_REMEMBERED = timedelta(days=7)

_NATIVES = Gauge("shunter_natives", "Native jobs", ["backend", "state", "seen"])
_ENDED = Counter("shunter_natives_ended_total", "Native jobs that ended", ["backend", "how"])
_ORPHANS = Counter("shunter_native_orphans_total", "Native jobs of ours that nobody wanted", ["backend"])
_LOOK = Histogram("shunter_natives_look_seconds", "What the cluster takes to answer a look", ["backend"])

_CONTEXT = Context.start("service:scheduler")

log = structlog.get_logger(__name__)

_Over = Sequence[tuple[Any, Seen]]


class Looker:
    """The part of a keeper that looks. Level-triggered: each look acts on all that it shows."""

    def __init__(
        self, cluster: Cluster, ender: Ender, adopter: Adopter, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._cluster = cluster
        self._ender = ender
        self._adopter = adopter
        self._reacher = Reacher(cluster.bus)
        self._clock = clock
        self._misses: dict[str, int] = {}
        self._known: dict[tuple[str, str], Native] = {}
        self._asked: dict[str, float] = {}
        self._counted: set[tuple[str, str]] = set()
        self._swept = -_SWEEP

    def sweep_soon(self) -> None:
        """Look for what hangs with the next look."""
        self._swept = -_SWEEP

    async def look(self) -> None:
        """Look once."""
        cluster = self._cluster
        sweeps = self._clock() - self._swept > _SWEEP
        if sweeps:
            await self._sweep()
        async with cluster.unit.reading() as connection:
            rows = await jobs.live(connection, cluster.name)
        self._known = known = self._named(rows)
        with _LOOK.labels(cluster.name).time():
            seen = await cluster.look(known.values())
        found = compare(rows, seen, self._misses)
        await self._note(found)
        await self._end(found.over)
        await self._stop([Native(row.name, row.native_id) for row in found.to_stop])
        await self._remove(found.to_remove)
        await self._look_at_strangers(found.strange)
        if sweeps and cluster.engine.leaves_remains:
            await self._clear_away([one for one in found.strange if one.state is NativeState.ENDED])

    def _named(self, rows: Sequence[Any]) -> dict[tuple[str, str], Native]:
        """Return what the cluster is asked for; most was known at the last look."""
        before, names = self._known, [(row.name, row.native_id) for row in rows]
        return {name: before.get(name) or Native(*name) for name in names}

    @property
    def size(self) -> int:
        """Return how many native jobs there were at the last look."""
        return len(self._known)

    # --- what is there ------------------------------------------------------------------------------------------

    async def _note(self, found: Comparison) -> None:
        """Write what is news, in one transaction."""
        if not (found.changed or found.found or found.again):
            return
        async with self._cluster.unit.begin(_CONTEXT) as work:
            await jobs.note(work.connection, [_noted(one) for one in (*found.changed, *found.found)])
            names = [one.name for one in found.found]
            values = {"state": JobState.STARTED.value, "started_at": now(), "error": ""}
            await jobs.change(work.connection, names, JobState.NAMED, **values)
            await jobs.stop(work.connection, [row.name for row in found.again], now())
        for row in found.again:
            log.warning("native.began_anew", native=row.name, backend=self._cluster.name)

    async def _end(self, over: _Over) -> None:
        """Settle the attempts of native jobs that are over; most have been by the last word of their pilots."""
        if not over:
            return
        cluster, settled = self._cluster, []
        async with cluster.unit.reading() as connection:
            attempts = await store.open_of(connection, [row.name for row, _ in over])
        alive = await self._reacher.alive([row.name for row, one in over if one.ending is Reason.LOST], attempts)
        for row, one in over:
            if row.name in alive:
                continue  # its pilot ends what it runs, and says so itself
            left = attempts.get(row.name, [])
            outcome = Outcome(row.name, row.size, _why(row, one), one.exit_code, one.reason)
            if not left or await self._ender.settle(outcome, left, cluster.bell):
                settled.append(row.name)
                _ENDED.labels(cluster.name, (one.ending or Reason.EXITED).value).inc()
        async with cluster.unit.begin(_CONTEXT) as work:
            values = {"state": JobState.ENDED.value, "ended_at": now(), "seen": NativeState.ENDED.value}
            await jobs.change(work.connection, settled, JobState.STARTED, JobState.NAMED, **values)
        for name in settled:
            self._misses.pop(name, None)
            self._asked.pop(name, None)
        if any(attempts.values()):
            cluster.bell.work.set()  # some may have been put back
        await self._remove([row for row, _ in over if row.name in set(settled)])

    # --- what is to go ------------------------------------------------------------------------------------------

    async def _stop(self, natives: Sequence[Native]) -> None:
        """Have native jobs stopped, and again if they are there a while later."""
        late = self._clock() - _ASK_AGAIN
        due = [one for one in natives if self._asked.get(one.name, late) <= late]
        if due:
            engine = await self._cluster.opened()
            await engine.stop(due)
            self._asked |= {one.name: self._clock() for one in due}
            log.info("natives.stopped", backend=self._cluster.name, names=[one.name for one in due])

    async def _remove(self, rows: Sequence[Any]) -> None:
        """Remove what is left of those that have ended; then they are gone."""
        if rows:
            engine = await self._cluster.opened()
            await engine.remove([Native(row.name, row.native_id) for row in rows])
            async with self._cluster.unit.begin(_CONTEXT) as work:
                names = [row.name for row in rows]
                await jobs.change(work.connection, names, JobState.ENDED, state=JobState.GONE.value)

    async def _look_at_strangers(self, strange: Sequence[Seen]) -> None:
        """Take up what is ours and wanted, which a restored table does not know; stop the rest of what is ours."""
        alive = [one for one in strange if one.state is not NativeState.ENDED]
        orphans = self._cluster.orphans
        for name in orphans.keys() - {one.name for one in alive}:
            del orphans[name]
        news = [one for one in alive if one.name not in orphans]
        if news:
            await self._judge(news)
        await self._stop([Native(one.name, one.native_id) for one in alive if one.name in orphans])

    async def _clear_away(self, ended: Sequence[Seen]) -> None:
        """Remove what is left of native jobs of ours that ended and of which nobody knows any more."""
        async with self._cluster.unit.reading() as connection:
            known = await jobs.known(connection, [one.name for one in ended])
        left = [Native(one.name, one.native_id) for one in ended if known.get(one.name) in {None, JobState.GONE.value}]
        if left:
            await (await self._cluster.opened()).remove(left)
            log.info("natives.cleared_away", backend=self._cluster.name, names=[one.name for one in left])

    async def _judge(self, alive: Sequence[Seen]) -> None:
        async with self._cluster.unit.reading() as connection:
            known = await jobs.known(connection, [one.name for one in alive])
        orphans = [one for one in alive if known.get(one.name) in {None, JobState.GONE.value}]
        wanted = await self._adopter.adopt([one for one in orphans if one.name not in known])
        orphans = [one for one in orphans if one.name not in wanted]
        if orphans:
            _ORPHANS.labels(self._cluster.name).inc(len(orphans))
            log.warning("natives.orphans", backend=self._cluster.name, names=[one.name for one in orphans])
            self._cluster.orphans |= {one.name: self._clock() for one in orphans}

    async def _sweep(self) -> None:
        """Look for what hangs, forget what ended long ago, and count."""
        self._swept, cluster, moment = self._clock(), self._cluster, now()
        self._asked = {name: at for name, at in self._asked.items() if self._clock() - at < _ASK_AGAIN}
        async with cluster.unit.reading() as connection:
            hanging = await jobs.overdue(connection, cluster.name, moment - _LATE)
            hanging += await jobs.idle(connection, cluster.name, moment - _LATE)
            standing = await jobs.count(connection, cluster.name)
        async with cluster.unit.begin(_CONTEXT) as work:
            await jobs.stop(work.connection, hanging, moment)
            await jobs.forget(work.connection, moment - _REMEMBERED)
        for labels in self._counted | standing.keys():
            _NATIVES.labels(cluster.name, *labels).set(standing.get(labels, 0))
        self._counted |= standing.keys()


def _why(row: Any, one: Seen) -> Reason | None:
    """Say why a native job ended: what the cluster took for somebody's wish may have been ours."""
    if row.stopping and one.ending in {None, Reason.CANCELED}:
        return Reason.INTERRUPTED
    return one.ending


def _noted(one: Seen) -> Record:
    return {
        "of": one.name,
        "new_native_id": one.native_id,
        "new_seen": one.state.value,
        "new_reason": one.reason,
        "new_node": one.node,
        "new_exit_code": one.exit_code,
        "new_ending": one.ending.value if one.ending else None,
    }
