"""The URLs of a run's inputs, asked for many at a time, and again when they are too old."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from contracts.errors import InvalidError
from contracts.queries import DownloadRunInputs
from contracts.runs import FrozenInput

from .link import Link

__all__ = ["FRESH_URLS", "Urls"]

FRESH_URLS = 5
"""How often new ones are asked for; a store that refuses so many refuses what was asked."""

_AT_ONCE = 500
"""URLs of one answer; of thousands, the last would be too old before its turn came."""


class Urls:
    """Knows where each input is."""

    def __init__(self, link: Link, ticket: str, inputs: Sequence[FrozenInput]) -> None:
        self._link = link
        self._ticket = ticket
        self._inputs = inputs
        self._group = {item.target: place // _AT_ONCE for place, item in enumerate(inputs)}
        self._urls: dict[int, dict[str, str]] = {}
        self._asking = asyncio.Lock()
        self._asked: Counter[int] = Counter()

    async def of(self, item: FrozenInput) -> str:
        """Return where an input is."""
        group = self._group[item.target]
        async with self._asking:
            urls = self._urls.get(group)
            if urls is None:
                some = list(self._inputs[group * _AT_ONCE : (group + 1) * _AT_ONCE])
                urls = (await self._link.ask(DownloadRunInputs(ticket=self._ticket, inputs=some))).urls
                self._urls[group] = urls
                self._asked[group] += 1
        if item.target not in urls:
            raise InvalidError(f"input {item.target}: storage gives no URL for it")
        return urls[item.target]

    def forget(self, item: FrozenInput) -> None:
        """Have the URL of an input asked for again, and those that came with it."""
        group = self._group[item.target]
        if self._asked[group] >= FRESH_URLS:
            raise InvalidError(f"input {item.target}: the store refuses it")
        self._urls.pop(group, None)
