"""Has pilots end whose cluster lost sight of them: a head that forgot its jobs does not mean that they are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any

import structlog
from pydantic import ValidationError

from contracts.errors import ShunterError
from contracts.pilots import RunEnding
from contracts.runs import ControlReply
from contracts.states import Reason
from contracts.subjects import pilot_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated

from .words import AttemptState

__all__ = ["Reacher"]

_ANSWER = 1.0
"""Seconds; whoever is gone does not answer, which NATS mostly says at once."""

_LAST_WORDS = 60.0
"""Seconds for which a pilot that answers is waited for: it ends what it runs, and says so itself."""

log = structlog.get_logger(__name__)


class Reacher:
    """Tells pilots to end, and says which of them are there."""

    def __init__(self, bus: Bus, *, clock: Callable[[], float] = monotonic) -> None:
        self._bus = bus
        self._clock = clock
        self._reached: dict[str, float] = {}

    async def alive(self, lost: Collection[str], attempts: Mapping[str, Sequence[Any]]) -> set[str]:
        """Return those of the *lost* native jobs whose pilots have heard that they are to end, and are at it."""
        given = {name: _given(attempts.get(name, ())) for name in lost}
        asked = {name: runs for name, runs in given.items() if runs and not self._is_late(name)}
        answers = await asyncio.gather(*(self._end(name, runs) for name, runs in asked.items()))
        there = {name for name, is_there in zip(asked, answers, strict=True) if is_there}
        for name in there - self._reached.keys():
            log.warning("native.out_of_sight", native=name)
            self._reached[name] = self._clock()
        self._reached = {name: at for name, at in self._reached.items() if self._clock() - at < 2 * _LAST_WORDS}
        return there

    def _is_late(self, name: str) -> bool:
        return self._clock() - self._reached.get(name, self._clock()) > _LAST_WORDS

    async def _end(self, name: str, runs: Sequence[Any]) -> bool:
        return any(await asyncio.gather(*(self._tell(name, run) for run in runs)))

    async def _tell(self, name: str, run: Any) -> bool:
        wish = RunEnding(workload_id=run["workload_id"], attempt=run["attempt"], reason=Reason.INTERRUPTED)
        try:
            with translated("the pilot"):
                message = await self._bus.connection.request(
                    pilot_subject(name), wish.model_dump_json().encode(), timeout=_ANSWER
                )
            return ControlReply.model_validate_json(message.data, extra="ignore").known
        except (ShunterError, ValidationError):
            return False


def _given(attempts: Sequence[Any]) -> list[Any]:
    return [attempt for attempt in attempts if attempt["state"] == AttemptState.GIVEN]
