"""How containers ended: asked once for each, and remembered for as long as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import docker

from contracts.errors import RefusedError
from services.scheduler.backends.engines.base import NativeState, Seen
from services.scheduler.containers.link import GONE, Link, status_of

from .views import Ended, Glance, ended_of

__all__ = ["Endings"]

_LINES = 5
_MOST = 500
"""Lines and characters of a container's own words that are passed on."""

_NOTED = 0.5
"""Seconds within which an engine notes that it sent a signal: it may be after the end that came of it."""


class Endings:
    """Tells them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: dict[str, Seen] = {}
        self._alive: dict[str, int] = {}
        """Which were seen running, and after how many outages."""

    async def of(self, found: Collection[Glance], node: str) -> Mapping[str, Seen]:
        """Return how those that have ended did, by their ids; those that vanish meanwhile are left out."""
        ended = {one.id for one in found if one.state is NativeState.ENDED}
        outages = self._link.outages
        self._known = {native_id: seen for native_id, seen in self._known.items() if native_id in ended}
        fresh = [
            one for one in await asyncio.gather(*map(self._inspect, ended - self._known.keys())) if one is not None
        ]
        # An engine that comes back ends what still runs by itself, and notes that as if somebody had asked for it.
        calm = [one for one in fresh if one.was_killed and self._alive.get(one.id) == outages]
        killed = await self._killed(calm)
        for one in fresh:
            words = await self._words(one) if one.code else ""
            self._known[one.id] = one.seen(node, killed_through_engine=one.id in killed, last_words=words)
        self._alive = {one.id: outages for one in found if one.state is NativeState.RUNNING}
        return self._known

    async def _inspect(self, native_id: str) -> Ended | None:
        try:
            return ended_of(await self._link.call(lambda client: client.inspect_container(native_id)))
        except RefusedError as error:
            if status_of(error.__cause__) == GONE:
                return None
            raise

    async def _killed(self, killed: Sequence[Ended]) -> set[str]:
        """Return which of those that a signal ended were sent it through the engine. It forgets when it restarts."""
        if not killed:
            return set()
        return await self._link.call(lambda client: _kills(client, killed))

    async def _words(self, ended: Ended) -> str:
        """Return the last words of what ran in it: the pilot writes there only what it cannot tell us."""
        try:
            said: bytes = await self._link.call(lambda client: client.logs(ended.id, tail=_LINES))
        except RefusedError:  # its driver of logs cannot be read, or it is gone
            return ""
        return " ".join(said.decode(errors="replace").split())[-_MOST:]


def _kills(client: docker.APIClient, killed: Sequence[Ended]) -> set[str]:
    wanted = {"type": "container", "event": "kill", "container": [one.id for one in killed]}
    since, until = min(_seconds(one.created) for one in killed), max(_seconds(one.finished) for one in killed)
    until += _NOTED
    return {str(event["Actor"]["ID"]) for event in client.events(f"{since:.6f}", f"{until:.6f}", wanted, decode=True)}


def _seconds(moment: str) -> float:
    """Read a moment by the clock of the engine."""
    return datetime.fromisoformat(moment).timestamp()
