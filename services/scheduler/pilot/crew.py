"""Asks for work, runs it in its slots, and leaves when there is none any more."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from . import subjects
from .errors import AwayError, RefusedError
from .link import Link, complain
from .system import node_name
from .words import Ending, Orders, Task, read

if TYPE_CHECKING:
    from .attempt import Attempt
    from .bundle import BundleRun
    from .means import Means

__all__ = ["ALL_TOLD", "FENCED", "Crew"]

ALL_TOLD = 0
FENCED = 94
"""It was given nothing, or nothing more: its native job is over, or another has its work."""

_WHY = {"canceled": "canceled on request", "walltime": "it ran longer than it asked for"}

_ANSWER = 4.0
"""Seconds that the scheduler has; the same question again has the same answer."""
_PAUSES = (0.1, 0.5, 2.0, 5.0, 15.0)


class Crew:
    """The runs of one pilot."""

    def __init__(self, *, link: Link, token: str, incarnation: str) -> None:
        self._link = link
        self._token = token
        self._incarnation = incarnation
        self._runs: dict[str, Attempt | BundleRun] = {}
        self._living: dict[str, asyncio.Task[None]] = {}
        self._holding: set[str] = set()
        self._asked = 0
        self._news = asyncio.Event()
        self._leaving: float | None = None
        self._is_over = False
        self.leaving = asyncio.Event()
        """Set when the cluster wants its room back."""
        self.means: Means | None = None

    async def ask(self, *, wants: bool = True) -> Orders:
        """Ask what is next, or only whether we may go on, until somebody answers."""
        self._asked += wants
        number = self._asked if wants else 0
        question = {"token": self._token, "incarnation": self._incarnation, "number": number, "node": node_name()}
        tries = 0
        while True:
            try:
                return Orders.of(await self._link.ask(subjects.NEXT, question, within=_ANSWER))
            except RefusedError as error:
                complain(f"no work: {error}")
                return Orders(over=True)
            except AwayError as error:
                if tries in {3, 100}:
                    complain(f"no work yet: {error}")
            await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1

    async def work(self, means: Means, orders: Orders) -> int:
        """Do what *orders* say, and what comes after them; returns the exit code."""
        self.means = means
        checking = asyncio.get_running_loop().create_task(self._check())
        try:
            more = self._take(orders)
            while not self._is_over and (more or self._living):
                if more and self._leaving is None and len(self._holding) < means.terms.slots:
                    more = self._take(await self.ask())
                    continue
                self._news.clear()
                await self._news.wait()
            if self._is_over and self._living:
                await self._abandon()
                return FENCED
            return ALL_TOLD
        finally:
            checking.cancel()

    def interrupt(self) -> None:
        """End everything, for the cluster wants its room back."""
        self.leaving.set()
        if self._leaving is None and self.means:
            self._leaving = self.means.terms.farewell
            for run in self._runs.values():
                run.interrupt(within=self._leaving)
            # Whoever cannot be reached by then is not waited for.
            asyncio.get_running_loop().call_later(2 * self._leaving, self._give_up)
        self._news.set()

    def _give_up(self) -> None:
        self._is_over = True
        self._news.set()

    async def answer(self, raw: bytes) -> bytes:
        """Do what the scheduler asks of us; always answer."""
        known = ended = False
        try:
            ending = read(Ending, json.loads(raw))
        except (ValueError, TypeError, AttributeError):
            return b"{}"
        run = self._runs.get(ending.name)
        if run is not None:
            self._end(run, ending)
            known, ended = True, run.is_over
        return json.dumps({"runner": self._link.name, "known": known, "ended": ended}).encode()

    @staticmethod
    def _end(run: Attempt | BundleRun, ending: Ending) -> None:
        if ending.tasks is not None:
            run.end_tasks(ending.tasks)
        if ending.reason is not None:
            run.end(ending.reason, _WHY.get(ending.reason, "ended on request"))

    def _take(self, orders: Orders) -> bool:
        """Begin what is to be begun; returns whether there is more."""
        if orders.over:
            self._is_over = True
            return False
        for ending in orders.end:
            if ending.name in self._living:
                self._end(self._runs[ending.name], ending)
        if orders.task is not None and orders.task.name not in self._runs:
            self._begin(orders.task)
        return orders.more

    def _begin(self, task: Task) -> None:
        assert self.means
        run = self._run_of(task, self.means)
        self._runs[task.name] = run
        self._holding.add(task.name)
        if self._leaving is not None:
            run.interrupt(within=self._leaving)
        living = asyncio.get_running_loop().create_task(run.live())
        self._living[task.name] = living
        living.add_done_callback(lambda _: self._note_end(task.name))

    def _run_of(self, task: Task, means: Means) -> Attempt | BundleRun:
        def freed() -> None:
            self._holding.discard(task.name)
            self._news.set()

        # Much lies behind these, which is loaded while NATS lets us in.
        if task.bundle is None:
            from .attempt import Attempt

            return Attempt(task=task, means=means, freed=freed)
        from .bundle import BundleRun

        return BundleRun(task=task, means=means, freed=freed)

    def _note_end(self, name: str) -> None:
        living = self._living.pop(name)
        if not living.cancelled() and living.exception():
            complain(f"{name} broke: {living.exception()!r}")
        self._holding.discard(name)
        self._news.set()

    async def _check(self) -> None:
        """Ask again whenever the connection was lost: we may have been given up meanwhile."""
        self._link.returned.clear()
        while True:
            await self._link.returned.wait()
            self._link.returned.clear()
            self._take(await self.ask(wants=False))
            self._news.set()

    async def _abandon(self) -> None:
        """End everything without a word: nobody would believe it."""
        for living in self._living.values():
            living.cancel()
        if self._living:
            await asyncio.wait(set(self._living.values()))
