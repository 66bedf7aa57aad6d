"""Answers the scheduler: cancel, observe, capacity."""

from __future__ import annotations

from pydantic import ValidationError

from contracts.model import now
from contracts.runs import ControlReply, ControlRun

from .runner import Runner

__all__ = ["Control"]


class Control:
    """Translates control messages into calls of the runner."""

    def __init__(self, *, runner: Runner, name: str, node: str) -> None:
        self._runner = runner
        self._name = name
        self._node = node

    async def answer(self, raw: bytes) -> bytes:
        """Do what is asked; always answer."""
        try:
            asked = ControlRun.model_validate_json(raw, extra="ignore")
        except ValidationError:
            return self._say(ControlReply(runner=self._name, node=self._node))
        if asked.action == "capacity":
            capacity = self._runner.capacity()
            return self._say(ControlReply(runner=self._name, node=self._node, known=True, capacity=capacity))
        workload_id, attempt = asked.workload_id or "", asked.attempt or 0
        if asked.action == "cancel":
            await self._runner.cancel(workload_id, attempt)
        known, ended = self._runner.observe(workload_id, attempt)
        return self._say(ControlReply(runner=self._name, node=self._node, known=known, ended=ended))

    @staticmethod
    def _say(reply: ControlReply) -> bytes:
        return reply.model_copy(update={"at": now()}).model_dump_json().encode()
