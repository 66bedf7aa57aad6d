"""Publishes a run's output while it grows, also where an earlier runner stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from contracts.subjects import log_subject
from services.scheduler.pilot import output

from .link import Link

__all__ = ["LiveOutput"]


class LiveOutput(output.LiveOutput):
    """Publishes it in the name of an attempt."""

    def __init__(
        self, *, link: Link, workload_id: str, attempt: int, name: str, files: Mapping[str, Path], cap: int
    ) -> None:
        super().__init__(self._publish_piece, files, cap)
        self._link = link
        self._workload_id = workload_id
        self._attempt = attempt
        self._name = name
        self._resumes = False

    def start(self, *, resume: bool = False) -> None:
        """Begin to publish; *resume* where an earlier runner stopped."""
        self._resumes = resume
        super().start()

    async def _follow(self, ended: asyncio.Future[None]) -> None:
        if self._resumes:
            for tail in self._tails:
                tail.offset = await self._link.published(self._subject(tail.stream))
        await super()._follow(ended)

    async def _publish_piece(self, stream: str, data: bytes, mark: str, headers: dict[str, str]) -> None:
        await self._link.keep(self._subject(stream), data, f"{self._name}-{stream}-{mark}", headers)

    def _subject(self, stream: str) -> str:
        return log_subject(self._workload_id, self._attempt, stream)
