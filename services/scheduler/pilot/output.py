"""Publishes a run's output while it grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import subjects
from .link import Link
from .reports import secret_of
from .tails import Following
from .words import Task

__all__ = ["LiveOutput"]


class LiveOutput(Following):
    """Publishes it in the name of an attempt."""

    def __init__(self, *, link: Link, task: Task, files: Mapping[str, Path], cap: int) -> None:
        super().__init__(files, cap)
        self._link = link
        self._task = task
        self._secret = secret_of(task)

    async def _keep(self, stream: str, data: bytes, mark: str, headers: dict[str, str]) -> None:
        task = self._task
        subject = subjects.log(task.workload_id, task.attempt, stream)
        await self._link.keep(subject, data, f"{task.name}-{stream}-{mark}-{self._secret}", headers)
