"""Says what becomes of the attempts of a native job that is over, and tells their workflows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Counter
from sqlalchemy import RowMapping

from contracts.errors import RefusedError
from contracts.model import now
from contracts.states import Reason
from services.chassis.bus import Bus
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.arrays.desk import ArrayDesk
from services.scheduler.context import workload_context
from services.scheduler.reports import has_unread
from services.scheduler.store import open_journey
from services.scheduler.temporal import TEMPORAL_SINK, Signal
from services.scheduler.workflows.words import AttemptEnd

from . import store
from .bell import Bell
from .words import AttemptState

__all__ = ["Ender", "Outcome", "Verdict", "judge"]

_MOST_RETURNS = 3
"""How often an attempt gets another native job because the one before ended without having begun with it."""

_NO_PYTHON = 91
"""What the launch script ends with where there is no Python that is new enough."""

_TOLD = {
    _NO_PYTHON: "its node has no Python 3.9 or newer",
    92: "the pilot could not be fetched there",
    93: "what was fetched there is not the pilot: its checksum is wrong",
    94: "the cluster ran it a second time, which gets nothing to do",
    95: "there is no folder there to work in",
}

_UNTOLD = Counter("shunter_native_ends_untold_total", "Attempts of whose end no pilot spoke", ["backend", "reason"])

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a native job came to its end."""

    name: str
    size: int
    """How many attempts it had."""
    ending: Reason | None = None
    exit_code: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an attempt."""

    reason: Reason | None
    """How it ended; none puts it back, to wait for another native job."""
    message: str = ""


def judge(attempt: RowMapping | dict[str, Any], outcome: Outcome) -> Verdict:
    """Say what becomes of an attempt whose native job is over and whose pilot said no last word of it."""
    words = _words(outcome)
    if attempt["ending"]:
        return Verdict(Reason(attempt["ending"]), attempt["message"] or words)
    if attempt["state"] == AttemptState.GIVEN:
        return Verdict(outcome.ending or Reason.LOST, words)
    if outcome.exit_code == _NO_PYTHON:
        return Verdict(Reason.REFUSED, words)
    if outcome.ending is Reason.CANCELED or (outcome.ending is Reason.REFUSED and outcome.size == 1):
        return Verdict(outcome.ending, words)
    if attempt["returns"] >= _MOST_RETURNS:
        return Verdict(Reason.LOST, f"{words}; so it went {attempt['returns'] + 1} times")
    return Verdict(None, words)


def _words(outcome: Outcome) -> str:
    known = _TOLD.get(outcome.exit_code or 0, "")
    how = outcome.message or (outcome.ending.value if outcome.ending else "")
    told = "; ".join(filter(None, (known, how))) or "it ended without a last word"
    return f"the native job {outcome.name}: {told}"


class Ender:
    """Ends attempts, or puts them back. Each step may be repeated."""

    def __init__(self, *, unit: UnitOfWork, bus: Bus, desk: ArrayDesk) -> None:
        self._unit = unit
        self._bus = bus
        self._desk = desk

    async def settle(self, outcome: Outcome, attempts: Sequence[RowMapping], bell: Bell) -> bool:
        """Settle the open attempts of a native job that is over; False if it is to be done again.

        That is so if a report waits to be read before, or a pilot got an attempt that had no pilot when it was read.
        """
        for attempt in attempts:
            if attempt["state"] == AttemptState.GIVEN and await has_unread(
                self._bus, attempt["workload_id"], attempt["attempt"]
            ):
                return False
        done = True
        for attempt in attempts:
            verdict = judge(attempt, outcome)
            if verdict.reason is None:
                done = await self._put_back(attempt, verdict) and done
            else:
                await self.end(attempt, verdict.reason, verdict.message, bell)
        return done

    async def _put_back(self, attempt: RowMapping, verdict: Verdict) -> bool:
        values = {"native": None, "asked": None, "returns": attempt["returns"] + 1, "message": verdict.message}
        async with self._unit.begin(workload_context(attempt["workload_id"])) as work:
            placed = AttemptState.PLACED
            waiting = AttemptState.WAITING.value
            if not await store.change(work.connection, attempt["number"], placed, state=waiting, **values):
                return False
        log.info("native.put_back", workload=attempt["workload_id"], attempt=attempt["attempt"], why=verdict.message)
        return True

    async def end(self, attempt: RowMapping, reason: Reason, message: str, bell: Bell) -> None:
        """Note the end of an attempt, and tell whoever has to hear of it."""
        workload, number = attempt["workload_id"], attempt["attempt"]
        bundle = bool(attempt["task"].get("bundle"))
        if bundle:
            await self._desk.close(workload, number, reason, message)
        # Who waits for the answer hears of a refusal there, and decides what comes of it.
        heard = reason is Reason.REFUSED and not bundle and bell.answer(workload, number, RefusedError(message))
        async with self._unit.begin(workload_context(workload)) as work:
            if not await store.end(work.connection, workload, number, reason, now(), message) or heard:
                return
            if bundle or await _is_present(work, workload, number):
                end = AttemptEnd(attempt=number, reason=reason, message=message)
                work.defer(TEMPORAL_SINK, f"signal/{workload}", Signal(ended=end))
        bell.answer(workload, number)
        _UNTOLD.labels(attempt["backend"], reason.value).inc()
        log.warning("native.ended_untold", workload=workload, attempt=number, reason=reason.value, message=message)


async def _is_present(work: Work, workload: str, attempt: int) -> bool:
    journey = await open_journey(work, workload)
    return journey is not None and not journey.state.is_terminal and journey.row["attempt"] == attempt
