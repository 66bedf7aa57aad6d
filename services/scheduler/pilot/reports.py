"""The reports of one attempt: numbered, sent in order until the stream has them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from typing import Any

from . import subjects
from .link import Link
from .words import Step, Task, as_json

__all__ = ["Reports"]


def _secret_of(task: Task) -> str:
    """Return a word that only those know who may run an attempt: nobody else can name its messages before it does."""
    return hashlib.sha256(b"shunter-messages:" + task.ticket.encode()).hexdigest()[:16]


class Reports:
    """What is said within *hold* seconds goes out as one report; the last step waits for nothing."""

    def __init__(self, *, link: Link, task: Task, hold: float) -> None:
        self._link = link
        self._task = task
        self._secret = _secret_of(task)
        self._hold = hold
        self._next = 1
        self._steps: list[Step] = []
        self._timer: asyncio.TimerHandle | None = None
        self._unsent: deque[tuple[int, bytes]] = deque()
        self._sending: asyncio.Task[None] | None = None

    @property
    def is_behind(self) -> bool:
        """Say whether something that was said is not kept yet."""
        return bool(self._unsent)

    def say(self, step: Step) -> None:
        """Report a step, soon."""
        self._steps.append(step)
        if step.step == "done":
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._hold, self.flush)

    def flush(self) -> None:
        """Report what there is to say now."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._steps:
            return
        report: dict[str, Any] = {
            "workload_id": self._task.workload_id,
            "attempt": self._task.attempt,
            "number": self._next,
            "runner": self._link.name,
            "native_id": self._link.name,
            "steps": as_json(self._steps),
        }
        self._unsent.append((self._next, json.dumps(report, ensure_ascii=False).encode("utf-8", "replace")))
        self._next += 1
        self._steps = []
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def keep_output(self, stream: str, data: bytes, mark: str, headers: dict[str, str]) -> None:
        """Publish a piece of output until it is kept."""
        task = self._task
        subject = subjects.log(task.workload_id, task.attempt, stream)
        await self._link.keep(subject, data, f"{task.name}-{stream}-{mark}-{self._secret}", headers)

    async def settled(self) -> None:
        """Wait until everything that was said is kept by the stream."""
        while self._sending and not self._sending.done():
            await asyncio.shield(self._sending)

    def abandon(self) -> None:
        """Stop sending."""
        if self._sending:
            self._sending.cancel()

    async def _send(self) -> None:
        subject = subjects.report(self._task.workload_id, self._task.attempt)
        while self._unsent:
            number, raw = self._unsent[0]
            await self._link.keep(subject, raw, f"{self._task.name}-r{number}-{self._secret}")
            self._unsent.popleft()
