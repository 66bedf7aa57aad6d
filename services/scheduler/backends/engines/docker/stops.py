"""Ends containers without waiting for them: SIGTERM, and SIGKILL when their grace is over."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from time import monotonic

import docker
from docker.errors import APIError

from services.scheduler.backends.engines.base import NativeState
from services.scheduler.containers.link import BUSY, GONE, Link, status_of

from .views import Glance

__all__ = ["Stops"]


class Stops:
    """Knows which were told to end. Whoever restarts is asked again by the keeper, and grants the grace once more."""

    def __init__(self, link: Link, grace: float) -> None:
        self._link = link
        self._grace = grace
        self._told: dict[str, float] = {}

    async def stop(self, found: Collection[Glance]) -> None:
        """Tell them to end, each once; what was not begun is removed."""
        fresh = [one for one in found if one.id not in self._told and one.state is not NativeState.ENDED]
        await asyncio.gather(*(self._link.call(partial(_tell, one)) for one in fresh))
        self._told |= dict.fromkeys((one.id for one in fresh), monotonic())

    async def press_on(self, found: Collection[Glance]) -> None:
        """Kill those whose grace is over, and forget those that are gone."""
        living = {one.id for one in found if one.state is not NativeState.ENDED}
        self._told = {native_id: since for native_id, since in self._told.items() if native_id in living}
        late = [native_id for native_id, since in self._told.items() if monotonic() - since > self._grace]
        await asyncio.gather(*(self._link.call(partial(_kill, each)) for each in late))


def _tell(one: Glance, client: docker.APIClient) -> None:
    if one.state is NativeState.RUNNING:
        _signal(client, one.id, "SIGTERM")
        return
    try:
        client.remove_container(one.id, v=True)
    except APIError as error:
        if status_of(error) not in {GONE, BUSY}:
            raise


def _kill(native_id: str, client: docker.APIClient) -> None:
    _signal(client, native_id, "SIGKILL")


def _signal(client: docker.APIClient, native_id: str, name: str) -> None:
    """Send a signal, if there is still something to send it to."""
    try:
        client.kill(native_id, name)
    except APIError as error:
        if status_of(error) not in {GONE, BUSY}:
            raise
