"""A cluster of one machine, whose native jobs are processes of it. What it knows lies in files."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from contracts.errors import RefusedError
from contracts.states import Reason
from services.scheduler.backends.base import Capacity
from services.scheduler.backends.engines.base import Engine, EngineMeans, Native, NativeState, Order, Seen, Started

__all__ = ["ProcessEngine"]

_WRAPPER = """
echo $$ >"$0/process.new" && mv "$0/process.new" "$0/process"
trap : TERM
sh "$0/script" </dev/null >"$0/out" 2>&1 &
child=$!
wait $child; code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
echo $code >"$0/code.new" && mv "$0/code.new" "$0/code"
"""


class _Settings(BaseModel):
    folder: Path
    """The cluster: what it runs is found there after a restart."""
    cpus: float = 8
    grace: float = 5.0
    """Seconds between SIGTERM and SIGKILL."""
    fetches: bool = False
    """Whether native jobs fetch the pilot from the store, as on a machine that is not ours."""


class ProcessEngine(Engine):
    """An engine that really runs what it is told, as sessions of processes."""

    kind = "processes"
    Settings = _Settings
    looks_every = 0.2

    def __init__(self, settings: _Settings, means: EngineMeans) -> None:
        super().__init__(settings, means)
        self._folder = settings.folder
        self._killing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def close(self) -> None:
        """End what waits to kill something."""
        for task in self._killing:
            task.cancel()

    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start them."""
        return [self._start(order) for order in orders]

    def _start(self, order: Order) -> Started:
        if order.cpus > self.settings.cpus:
            return Started(error=RefusedError(f"{order.cpus:g} cores are more than there are"))
        folder = self._folder / order.name
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return Started(order.name)
        (folder / "script").write_text(order.launch.script)
        argv = ["sh", "-c", _WRAPPER, str(folder)]
        env = {"PATH": os.environ["PATH"], "TMPDIR": str(folder), **order.launch.env}
        if not self.settings.fetches:
            env["SHUNTER_PILOT_FILE"] = str(order.launch.file)
        subprocess.run(["setsid", "--fork", *argv], env=env, cwd=folder, check=True)
        return Started(order.name)

    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:  # noqa: ARG002 (all are in the folder)
        """Look into the folder."""
        ours = [path for path in self._folder.iterdir() if path.name.startswith(f"{self.means.site}-")]
        return {path.name: _see(path) for path in ours}

    async def stop(self, natives: Collection[Native]) -> None:
        """Ask them to end, and have them ended a while later."""
        for native in natives:
            _kill(self._folder / native.name, signal.SIGTERM)
            task = asyncio.create_task(self._kill_later(self._folder / native.name))
            self._killing.add(task)
            task.add_done_callback(self._killing.discard)

    async def _kill_later(self, folder: Path) -> None:
        await asyncio.sleep(self.settings.grace)
        while folder.exists() and not (folder / "process").exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.1)
        _kill(folder, signal.SIGKILL)

    async def remove(self, natives: Collection[Native]) -> None:
        """Remove their folders."""
        for native in natives:
            shutil.rmtree(self._folder / native.name, ignore_errors=True)

    async def capacity(self) -> Capacity:
        """Say how large it is."""
        cpus, memory = self.settings.cpus, 2**34
        return Capacity(cpus, cpus, memory, memory, largest_cpus=cpus, largest_memory=memory)


def _see(folder: Path) -> Seen:
    code = folder / "code"
    if code.exists():
        number = int(code.read_text())
        return Seen(folder.name, folder.name, NativeState.ENDED, f"exit code {number}", exit_code=number, node="here")
    if not (folder / "process").exists():
        return Seen(folder.name, folder.name, NativeState.WAITING, "it is about to begin")
    if _process_of(folder) is None:
        if code.exists():  # it came to its end between our two looks
            return _see(folder)
        return Seen(folder.name, folder.name, NativeState.ENDED, "its process is no more", Reason.LOST, node="here")
    return Seen(folder.name, folder.name, NativeState.RUNNING, node="here")


def _process_of(folder: Path) -> int | None:
    """Return the process that leads the session of a native job, unless it is another one by now."""
    with suppress(OSError, ValueError):
        number = int((folder / "process").read_text())
        words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        if str(folder).encode() in words:
            return number
    return None


def _kill(folder: Path, what: signal.Signals) -> None:
    if (process := _process_of(folder)) is not None:
        with suppress(ProcessLookupError):
            os.killpg(process, what)
