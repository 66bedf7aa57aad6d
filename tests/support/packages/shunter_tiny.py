"""A package of a site's own that brings a kind of backend: the smallest that keeps every promise of an engine.

Its cluster is a folder; what it runs are processes of this machine, which end with their session.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel

from contracts.errors import RefusedError
from contracts.states import Reason
from services.scheduler.backends.base import Capacity
from services.scheduler.backends.engines.base import Engine, EngineMeans, Native, NativeState, Order, Seen, Started

__all__ = ["TinyEngine", "stand"]

_RUN = """
trap : TERM
sh "$1" >"$0/out" 2>&1 </dev/null & child=$!
sleep 0.2
echo $$ >"$0/pid.new"; mv "$0/pid.new" "$0/pid"
wait $child; code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
echo $code >"$0/code.new"; mv "$0/code.new" "$0/code"
"""


class TinySettings(BaseModel):
    """What stands under `tiny:` in the file of settings."""

    folder: Path
    cpus: float = 4


class TinyEngine(Engine):
    """Runs native jobs as processes."""

    kind = "tiny"
    Settings = TinySettings
    looks_every = 0.2

    def __init__(self, settings: TinySettings, means: EngineMeans) -> None:
        super().__init__(settings, means)
        self._folder = settings.folder / means.site

    async def open(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start a process for each that is new."""
        return [await self._start(order) for order in orders]

    async def _start(self, order: Order) -> Started:
        if order.cpus > self.settings.cpus:
            return Started(error=RefusedError(f"{order.cpus:g} cores are more than there are"))
        place = self._folder / order.name
        if not place.exists():
            draft = place.with_suffix(".new")
            draft.mkdir(mode=0o700, exist_ok=True)
            (draft / "script").write_text(order.launch.script)
            known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            env = {**known, **order.launch.env, "SHUNTER_PILOT_FILE": str(order.launch.file)}
            draft.rename(place)
            command = ["setsid", "--fork", "/bin/sh", "-c", _RUN, str(place), str(place / "script")]
            await (await asyncio.create_subprocess_exec(*command, env=env)).wait()
        while not (place / "pid").exists():  # noqa: ASYNC110 (another process writes it)
            await asyncio.sleep(0.01)
        return Started((place / "pid").read_text().strip())

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:  # noqa: ARG002 (all are listed at once)
        """List the folder."""
        places = [place for place in self._folder.iterdir() if (place / "pid").exists()]
        return {place.name: self._see(place) for place in places}

    def _see(self, place: Path) -> Seen:
        pid = int((place / "pid").read_text())
        if (place / "code").exists():
            code = int((place / "code").read_text())
            ending = Reason.CANCELED if (place / "stopped").exists() else None
            return Seen(place.name, str(pid), NativeState.ENDED, f"exit {code}", ending, code)
        if _lives(pid):
            return Seen(place.name, str(pid), NativeState.RUNNING, node="here")
        return Seen(place.name, str(pid), NativeState.ENDED, "its process is gone", Reason.LOST)

    async def stop(self, natives: Collection[Native]) -> None:
        """Ask their sessions to end, and end them after a while."""
        for native in natives:
            place = self._folder / native.name
            if place.exists() and not (place / "code").exists():
                (place / "stopped").touch()
                _signal(int((place / "pid").read_text()), signal.SIGTERM)
        await asyncio.sleep(0.1)

    async def remove(self, natives: Collection[Native]) -> None:
        """Remove their folders."""
        for native in natives:
            shutil.rmtree(self._folder / native.name, ignore_errors=True)

    async def capacity(self) -> Capacity:
        """Say how large it is."""
        running = sum(one.state is NativeState.RUNNING for one in (await self.look(())).values())
        cpus, memory = self.settings.cpus, 2**33
        room = {"memory": memory, "memory_free": memory, "largest_cpus": cpus, "largest_memory": memory}
        return Capacity(cpus=cpus, cpus_free=max(0.0, cpus - running), running=running, **room)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


async def stand(_stack: AsyncIterator[Any], folder: Path) -> Any:
    """Return what the contract suite of engines needs: `SHUNTER_TEST_ENGINE=shunter_tiny:stand`."""
    from tests.support.engine_stand import EngineStand

    return EngineStand(lambda means: TinyEngine(TinySettings(folder=folder / "cluster"), means))
