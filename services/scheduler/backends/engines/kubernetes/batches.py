"""Starts native jobs: those that are alike as one indexed Job, where the cluster can, and each as its own elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from contracts.errors import RefusedError, ShunterError
from services.scheduler.backends.engines.base import Order, Started

from .cluster import Cluster
from .errors import AnswerError, said
from .indexed import Indexed, batches_of, names_of
from .kinds import JOBS
from .manifests import Manifests
from .names import Address
from .records import Job
from .starting import Starter
from .view import View

__all__ = ["Batches"]

_NEEDED: Final = "backoffLimitPerIndex"
"""Without it the end of one pod would be the end of all of its Job."""


class Batches:
    """Starts orders. One whose name is there already, whatever Job it is part of, is not started again."""

    def __init__(self, cluster: Cluster, starter: Starter, view: View) -> None:
        self._cluster = cluster
        self._starter = starter
        self._view = view
        self._unsure: dict[str, tuple[str, str]] = {}
        """Names whose indexed Job may or may not have been made: where that is, and how it is called."""

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start them, side by side."""
        answers = await self._known(orders)
        fresh = [order for order in orders if order.name not in answers]
        made = [one for one in await asyncio.gather(*(self._prepared(order, answers) for order in fresh)) if one]
        groups = batches_of(made) if len(made) > 1 and await self._can(answers, made) else [[one] for one in made]
        for found in await asyncio.gather(*(self._start(group) for group in groups if group[0].name not in answers)):
            answers |= found
        return [answers[order.name] for order in orders]

    async def _known(self, orders: Sequence[Order]) -> dict[str, Started]:
        """Return what was started as part of an indexed Job, perhaps by a call of which no answer came."""
        answers: dict[str, Started] = {}
        doubtful = {self._unsure[order.name] for order in orders if order.name in self._unsure}
        for namespace, leader in doubtful:
            try:
                job = await self._cluster.get(JOBS, namespace, leader, Job)
            except AnswerError as error:
                if error.status.code != 404:
                    answers |= self._of_unsure(leader, Started(error=said(error)))
                    continue
            except ShunterError as error:
                answers |= self._of_unsure(leader, Started(error=error))
                continue
            else:
                answers |= self._begun(job)
            self._unsure = {name: where for name, where in self._unsure.items() if where[1] != leader}
        there = {order.name: self._view.native_id(order.name) for order in orders if order.name not in answers}
        answers |= {name: Started(native_id) for name, native_id in there.items() if native_id}
        return {order.name: answers[order.name] for order in orders if order.name in answers}

    def _of_unsure(self, leader: str, answer: Started) -> dict[str, Started]:
        return {name: answer for name, where in self._unsure.items() if where[1] == leader}

    async def _prepared(self, order: Order, answers: dict[str, Started]) -> Manifests | None:
        try:
            return await self._starter.prepared(order)
        except AnswerError as error:
            answers[order.name] = Started(error=said(error))
        except ShunterError as error:
            answers[order.name] = Started(error=error)
        return None

    async def _can(self, answers: dict[str, Started], made: Sequence[Manifests]) -> bool:
        """Say whether the cluster knows indexed Jobs as we need them."""
        try:
            return (await self._cluster.release()).has(_NEEDED)
        except AnswerError as error:
            answers |= dict.fromkeys([one.name for one in made], Started(error=said(error)))
        except ShunterError as error:
            answers |= dict.fromkeys([one.name for one in made], Started(error=error))
        return False

    async def _start(self, group: Sequence[Manifests]) -> dict[str, Started]:
        if len(group) == 1:
            return await self._start_one(group[0])
        together = Indexed(group)
        try:
            found = self._begun(await self._starter.start(together))
        except RefusedError:
            found = {}  # what is refused together is tried alone
        except (AnswerError, ShunterError) as error:
            told = said(error) if isinstance(error, AnswerError) else error
            self._unsure |= {one.name: (together.namespace, together.name) for one in group}
            return {one.name: Started(error=told) for one in group}
        alone = [one for one in group if one.name not in found]
        for more in await asyncio.gather(*map(self._start_one, alone)):
            found |= more
        return {one.name: found[one.name] for one in group}

    async def _start_one(self, made: Manifests) -> dict[str, Started]:
        try:
            return self._begun(await self._starter.start(made))
        except AnswerError as error:
            return {made.name: Started(error=said(error))}
        except ShunterError as error:
            return {made.name: Started(error=error)}

    def _begun(self, job: Job) -> dict[str, Started]:
        self._view.begun(job)
        names = names_of(job)
        indices = map(str, range(len(names))) if job.spec.completion_mode == "Indexed" else [""]
        meta = job.metadata
        return {
            name: Started(str(Address(meta.namespace, meta.uid, index)))
            for name, index in zip(names, indices, strict=True)
        }
