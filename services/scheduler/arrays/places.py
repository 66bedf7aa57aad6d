"""Where the tasks of an array go: elsewhere, once their backend refuses them, is away, or does not begin with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import structlog

from contracts.errors import RefusedError
from contracts.model import now
from contracts.spec import JobSpec
from contracts.states import HOLDS_ROOM, Reason, WorkloadState
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.backends.base import Backend
from services.scheduler.backends.registry import Backends
from services.scheduler.context import workload_context
from services.scheduler.journey import Journey
from services.scheduler.placing.placer import NoTakerError, Placer
from services.scheduler.records import Record, inputs_of, to_workload
from services.scheduler.store import find, open_journey

from . import store

__all__ = ["Outlook", "Places"]

_ASK_AGAIN = timedelta(seconds=20)
"""After so long a backend that promised to end a bundle is asked again."""

_DRAINED = 10.0
"""Seconds after which is looked again for a backend, where all that could hold an array are draining."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be done before more tasks of an array are handed out."""

    takes: bool = True
    """Whether its backend takes new work."""
    pause: float | None = None
    """Seconds after which to look again, if nothing else happens before."""
    patience: float | None = None
    """Seconds for which a bundle may lie where it is and not be begun with; none is for ever."""
    leaving: Sequence[Any] = ()
    """Bundles that are to be taken back, so that their tasks can go elsewhere."""


class Places:
    """Decides by what lies in the tables. Where a bundle goes is decided once; where the next ones go may change."""

    def __init__(self, *, unit: UnitOfWork, backends: Backends, placer: Placer) -> None:
        self._unit = unit
        self._backends = backends
        self._placer = placer

    async def look(self, workload_id: str) -> Outlook:
        """Move the array if its backend is no place for it any more, and note which bundles are to leave theirs."""
        names = self._backends.names
        if len(names) < 2 and not self._backends.retired and all(map(self._backends.takes_work, names)):
            return Outlook()  # there is nothing to decide
        async with self._unit.reading() as connection:
            row = await find(connection, workload_id)
            if row is None or row["cancel_requested"] or WorkloadState(row["state"]).is_terminal:
                return Outlook()
            kept = await store.find_array(connection, workload_id)
            bundles = await store.open_bundles(connection, workload_id)
        case = _Case(row, kept, bundles)
        try:
            home = await self._home(case)
        except NoTakerError:
            return Outlook(takes=False, pause=_DRAINED)
        return await self._press(case, home)

    # --- where the next ones go -----------------------------------------------------------------------------------

    async def _home(self, case: _Case) -> str:
        """Return where new bundles go, after a move if there must be one."""
        home = str(case.row["backend"])
        why = await self._objection(case, home)
        found = None if why is None else await self._choose(case, home)
        if found is None or found.name == home:
            return home
        if home not in case.refused and not await self._is_ready(found.name):
            return home  # nobody answers: it may as well wait where it is
        await self._move(case, found.name, f"{home} {why}", tried=case.tried)
        return found.name

    async def _objection(self, case: _Case, home: str) -> str | None:
        """Say why nothing new should go where the others went."""
        if home in case.refused:
            return "refuses its tasks"
        if not self._backends.takes_work(home):
            return "takes no new work"
        trouble = (await self._backends.standing(self._backends.require(home))).trouble
        return f"does not answer: {trouble}" if trouble else None

    async def _choose(self, case: _Case, home: str) -> Backend | None:
        try:
            inputs, refused = inputs_of(case.row), [*case.refused]
            return await self._placer.choose(case.spec, inputs, tried=[home], refused=refused)
        except RefusedError:  # what could hold it when it came is gone
            return None

    async def _move(self, case: _Case, name: str, why: str, *, tried: Sequence[str]) -> None:
        """Have the array queue on another backend; what runs of it runs on where it is."""
        workload_id = case.row["id"]
        async with self._unit.begin(workload_context(workload_id)) as work:
            journey = await _open(work, workload_id)
            if journey is None:
                return
            is_running = journey.state in HOLDS_ROOM and journey.row["tasks"]["running"]
            journey.move(WorkloadState.QUEUED, at=now(), reason=Reason.RETRY, message=why, backend=name)
            if is_running:
                told = f"{journey.row['tasks']['running']} of its tasks run where they were begun"
                journey.move(WorkloadState.RUNNING, at=now(), reason=Reason.STARTED, message=told)
            await store.change_array(work.connection, workload_id, tried=_joined(tried))
            await journey.save()
        log.info("array.moved", workload=workload_id, backend=name, why=why)

    # --- what waits too long --------------------------------------------------------------------------------------

    async def _press(self, case: _Case, home: str) -> Outlook:
        """Choose the bundles whose backend has not begun with them in time, where another one would have them."""
        patience = self._placer.patience(case.spec, case.tried.count(home))
        waits = [one for one in case.bundles if one["allocation"] is None and one["handed_at"] is not None]
        if patience is None or len(self._backends.names) < 2:
            return Outlook()
        moment, leaving, pauses = now(), [], [patience]
        for one in waits:
            span = _ASK_AGAIN if one["leaving"] else timedelta(seconds=patience)
            left = (one["handed_at"] + span - moment).total_seconds()
            if left <= 0:
                leaving.append(one)
            else:
                pauses.append(left)
        stays = await self._stays(case, {one["backend"] for one in leaving if not one["leaving"]}, home, patience)
        chosen = [one for one in leaving if one["leaving"] or one["backend"] not in stays]
        if chosen:
            await self._note(case, [one["bundle"] for one in chosen], moment)
            pauses.append(_ASK_AGAIN.total_seconds())
        return Outlook(pause=max(0.05, min(pauses)) if waits else None, patience=patience, leaving=chosen)

    async def _stays(self, case: _Case, names: set[str], home: str, patience: float) -> set[str]:
        """Return those of some slow backends for whose bundles there is no better place; the array goes to one."""
        goes_to = await self._next(case, home, patience) if home in names else home
        if not names or not await self._is_ready(goes_to):
            return names
        return {goes_to}

    async def _is_ready(self, name: str) -> bool:
        return (await self._backends.standing(self._backends.require(name))).is_ready

    async def _next(self, case: _Case, home: str, patience: float) -> str:
        """Have the array go to the next backend, if there is one that takes it; returns where it goes."""
        tried = [] if case.has_begun_on(home) else case.tried
        try:
            found = await self._placer.next_after(
                case.spec, home, inputs_of(case.row), tried=tried, refused=[*case.refused]
            )
        except RefusedError:  # what could hold it when it came is gone
            return home
        if found is None:
            return home
        await self._move(case, found.name, f"{home} did not begin with it in {patience:g} s", tried=[*tried, home])
        return found.name

    async def _note(self, case: _Case, numbers: Sequence[int], moment: datetime) -> None:
        """Write down that bundles leave, before anybody is told: their tasks are not to blame for that end."""
        workload_id = case.row["id"]
        async with self._unit.begin(workload_context(workload_id)) as work:
            for number in numbers:
                await store.change_bundle(work.connection, workload_id, number, leaving=True, handed_at=moment)

    # --- refusals -------------------------------------------------------------------------------------------------

    async def turn_away(self, workload_id: str, number: int) -> None:
        """Note that a backend refuses a bundle that it never began, if its tasks can go elsewhere."""
        async with self._unit.reading() as connection:
            row = await find(connection, workload_id)
            bundle = await store.find_bundle(connection, workload_id, number)
            if row is None or bundle is None or bundle["allocation"] is not None:
                return
            kept = await store.find_array(connection, workload_id)
        case, name = _Case(row, kept, [bundle]), bundle["backend"]
        if not await self._placer.others(case.spec, name, inputs_of(row), not_on=[*case.refused]):
            return
        async with self._unit.begin(workload_context(workload_id)) as work:
            kept = await store.find_array(work.connection, workload_id)
            refused = dict.fromkeys([*_split(kept["refused"]), name])
            await store.change_array(work.connection, workload_id, refused=_joined(refused))
            await store.change_bundle(work.connection, workload_id, number, leaving=True)
        log.warning("array.refused", workload=workload_id, bundle=number, backend=name)


class _Case:
    """What is known of one array while is decided about it."""

    def __init__(self, row: Record, kept: Record, bundles: Sequence[Any]) -> None:
        self.row = row
        self.bundles = bundles
        self.tried = _split(kept["tried"])
        """Backends that did not begin with its tasks in time, since one has begun with some."""
        self.refused = frozenset(_split(kept["refused"]))

    @cached_property
    def spec(self) -> JobSpec:
        """Return what was asked for."""
        return to_workload(self.row).spec

    def has_begun_on(self, name: str) -> bool:
        """Say whether a backend has begun with some of what it has at present."""
        return any(one["backend"] == name and one["allocation"] is not None for one in self.bundles)


async def _open(work: Work, workload_id: str) -> Journey | None:
    journey = await open_journey(work, workload_id)
    return None if journey is None or journey.state.is_terminal or journey.row["cancel_requested"] else journey


def _split(names: str) -> list[str]:
    return names.split(",") if names else []


def _joined(names: Sequence[str] | dict[str, None]) -> str:
    return ",".join(names)
