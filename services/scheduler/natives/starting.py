"""Starts native jobs for attempts that wait. A name is committed before its job is started, so none is doubled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

import structlog
from prometheus_client import Counter
from sqlalchemy import RowMapping

from contracts.envelope import Context
from contracts.errors import RefusedError, ShunterError
from contracts.model import now
from contracts.runs import RunTask
from contracts.states import Reason
from services.scheduler.backends.engines.base import Native, NativeState, Order, Started
from services.scheduler.records import Record

from . import jobs, store
from .cluster import Cluster
from .ending import Ender, Outcome
from .packing import Group, Shape, Waiting, group, is_ripe, order_of, shape_of
from .words import JobState

__all__ = ["Starter"]

_AT_ONCE = 100
"""Native jobs that are named together, and that one call starts."""

_MOST_READ = 2000
"""Attempts that are read together."""

_LONGEST_PAUSE = 60.0

_STARTED = Counter("shunter_natives_started_total", "Native jobs that were started", ["backend"])
_NOT_STARTED = Counter("shunter_natives_not_started_total", "Native jobs that were not", ["backend", "why"])

_CONTEXT = Context.start("service:scheduler")

log = structlog.get_logger(__name__)

Open = dict[str, list[RowMapping]]


class Starter:
    """The part of a keeper that starts what waits."""

    def __init__(self, cluster: Cluster, ender: Ender) -> None:
        self._cluster = cluster
        self._ender = ender
        self.gathers = False
        """Whether small jobs were left to wait for others that may share a native job with them."""

    async def start(self) -> bool:
        """Start what waits; returns whether more waits."""
        fresh = await self._name()
        cluster = self._cluster
        async with cluster.unit.reading() as connection:
            rows = await jobs.due(connection, cluster.name, now(), 2 * _AT_ONCE)
            attempts = await store.open_of(connection, [row["name"] for row in rows])
        doubtful = [row for row in rows if row["name"] not in fresh]
        found = await self._find(doubtful) if doubtful else set()
        wanted = [row for row in rows if row["name"] not in found]
        unwanted = [row for row in wanted if _is_unwanted(row, attempts)]
        await self._drop(unwanted, attempts)
        names = {row["name"] for row in unwanted}
        await self._start([row for row in wanted if row["name"] not in names], attempts, fresh)
        return len(rows) >= _AT_ONCE

    # --- names --------------------------------------------------------------------------------------------------

    async def _name(self) -> set[str]:
        """Give native jobs to attempts that have none; returns their names: nobody has tried to start them yet."""
        cluster, pack = self._cluster, self._cluster.settings.pack
        async with cluster.unit.reading() as connection:
            most = min(_AT_ONCE * (pack.most if pack else 1), _MOST_READ)
            rows = await store.waiting(connection, cluster.name, most)
            longest = 2 * pack.walltime + cluster.settings.grace if pack else 0
            unbegun = await jobs.unbegun(connection, cluster.name, longest) if pack and rows else 0
        self.gathers = False
        if not rows:
            return set()
        waiting = [Waiting(row["number"], _task(row), row["returns"]) for row in rows]
        groups = group(waiting, cluster.settings, cluster.prefix)
        if pack:
            oldest = {row["number"]: now() - row["queued_at"] for row in rows}
            ripe = [one for one in groups if unbegun < pack.ahead or is_ripe(one, oldest, pack)]
            self.gathers, groups = len(ripe) < len(groups), ripe
        groups = groups[:_AT_ONCE]
        async with cluster.unit.begin(_CONTEXT) as work:
            made = [one for one in groups if await store.place(work.connection, _numbers(one), one.name)]
            if made:
                await jobs.add(work.connection, [_row(one, cluster) for one in made])
        return {one.name for one in made}

    # --- what is in doubt ---------------------------------------------------------------------------------------

    async def _find(self, rows: Sequence[RowMapping]) -> set[str]:
        """Look for native jobs that may have been started when a call broke off; returns those that are there."""
        seen = await self._cluster.look([Native(row["name"], row["native_id"]) for row in rows])
        there = {row["name"]: Started(seen[row["name"]].native_id) for row in rows if row["name"] in seen}
        async with self._cluster.unit.begin(_CONTEXT) as work:
            for name, started in there.items():
                values = {"state": JobState.STARTED.value, "native_id": started.native_id, "started_at": now()}
                await jobs.change(work.connection, [name], JobState.NAMED, **values, error="")
        if there:
            log.info("natives.found", backend=self._cluster.name, names=sorted(there))
        return set(there)

    async def _drop(self, rows: Sequence[RowMapping], attempts: Open) -> None:
        """Let go of native jobs that are not there and that nobody wants any more."""
        for row in rows:
            outcome = Outcome(row["name"], row["size"], Reason.CANCELED, message="it was not started any more")
            await self._ender.settle(outcome, attempts.get(row["name"], ()), self._cluster.bell)
            await self._write([row["name"]], state=JobState.GONE.value, ended_at=now())

    # --- starting -----------------------------------------------------------------------------------------------

    async def _start(self, rows: Sequence[RowMapping], attempts: Open, fresh: Collection[str]) -> None:
        """Start native jobs; what an engine stumbled over for no reason it gives is tried alone."""
        together = [row for row in rows if not row["error"].startswith(_STUMBLED)]
        alone = [[row] for row in rows if row["error"].startswith(_STUMBLED)]
        for part in [together, *alone] if together else alone:
            try:
                orders = [await self._order(row, attempts[row["name"]], row["name"] in fresh) for row in part]
                engine = await self._cluster.opened()
                answers = await engine.start(orders)
            except ShunterError as error:
                answers = [Started(error=error)] * len(part)
            except Exception as error:
                log.exception("natives.start_failed", backend=self._cluster.name)
                answers = [Started(error=ShunterError(f"{_STUMBLED}{error!r}"))] * len(part)
            await self._take(part, answers, attempts)

    async def _order(self, row: RowMapping, attempts: Sequence[RowMapping], fresh: bool) -> Order:
        tasks = [_task(attempt) for attempt in attempts]
        launch = await self._cluster.launcher.launch(row["name"], self._cluster.name)
        shape = Shape(row["slots"], row["cpus"], row["memory"] or None, row["gpus"], row["walltime"])
        return order_of(row["name"], tasks, shape, launch, self._cluster.settings.kind, fresh=fresh)

    async def _take(self, rows: Sequence[RowMapping], answers: Sequence[Started], attempts: Open) -> None:
        """Note what came of a call, in one transaction; who waits for it hears of it."""
        moment, name = now(), self._cluster.name
        refused: list[tuple[RowMapping, RefusedError]] = []
        async with self._cluster.unit.begin(_CONTEXT) as work:
            for row, answer in zip(rows, answers, strict=True):
                if isinstance(answer.error, RefusedError):
                    refused.append((row, answer.error))
                    continue
                await jobs.change(work.connection, [row["name"]], JobState.NAMED, **_noted(row, answer))
        for row, answer in zip(rows, answers, strict=True):
            if answer.error is None:
                _STARTED.labels(name).inc()
                for attempt in attempts[row["name"]]:
                    self._cluster.bell.answer(attempt["workload_id"], attempt["attempt"])
            else:
                _NOT_STARTED.labels(name, answer.error.code.value).inc()
                log.warning("native.not_started", native=row["name"], backend=name, detail=answer.error.detail)
        for row, error in refused:
            outcome = Outcome(row["name"], row["size"], Reason.REFUSED, message=error.detail)
            await self._ender.settle(outcome, attempts[row["name"]], self._cluster.bell)
            await self._write([row["name"]], state=JobState.GONE.value, ended_at=moment, error=error.detail)

    async def _write(self, names: Sequence[str], **values: object) -> None:
        async with self._cluster.unit.begin(_CONTEXT) as work:
            await jobs.change(work.connection, names, JobState.NAMED, **values)


_STUMBLED = "the engine failed: "


def _task(row: RowMapping) -> RunTask:
    return RunTask.model_validate(row["task"], extra="ignore")


def _numbers(one: Group) -> list[int]:
    return [member.number for member in one.members]


def _is_unwanted(row: RowMapping, attempts: Open) -> bool:
    return bool(row["stop_at"]) or all(attempt["ending"] for attempt in attempts.get(row["name"], ()))


def _noted(row: RowMapping, answer: Started) -> Record:
    """Return what is written of a native job that was started, or that may be."""
    if answer.error is None:
        seen = {"native_id": answer.native_id, "seen": NativeState.WAITING.value}
        return {"state": JobState.STARTED.value, "started_at": now(), "error": "", **seen}
    pause = min(2.0 ** min(row["tries"], 10), _LONGEST_PAUSE)
    return {"tries": row["tries"] + 1, "error": answer.error.detail, "retry_at": now() + timedelta(seconds=pause)}


def _row(one: Group, cluster: Cluster) -> Record:
    first, shape = one.tasks[0], shape_of(one.tasks, cluster.settings)
    return {
        "name": one.name,
        "backend": cluster.name,
        "owner": first.owner,
        "project": first.project or "",
        "size": len(one.members),
        "slots": shape.slots,
        "cpus": shape.cpus,
        "memory": shape.memory or 0,
        "gpus": shape.gpus,
        "walltime": shape.walltime,
        "state": JobState.NAMED.value,
        **dict.fromkeys(("native_id", "seen", "reason", "node", "error"), ""),
        "tries": 0,
        "created_at": now(),
    }
