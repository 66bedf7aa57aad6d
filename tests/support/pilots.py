"""A pilot under test, started as a cluster starts it, and the scheduler's side of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from nats.aio.client import Client

from contracts.pilots import NextTask, PilotOrders, PilotTerms, RunEnding
from contracts.queries import Reply
from contracts.runs import ControlReply, RunTask
from contracts.subjects import pilot_subject, query_subject
from services.chassis.settings import NatsSettings
from services.scheduler.pilots.archive import write_archive
from services.scheduler.pilots.launching import SCRIPT
from tests.support.runners import Desk, open_desk

__all__ = ["NAME", "Cluster", "Work", "old_python", "open_work", "pilots"]

NAME = "test-native-1"
_QUICK = PilotTerms(heartbeat=0.2, sample_every=0.1, grace=1.0, farewell=6.0)


def old_python() -> str:
    """Return the oldest Python that a pilot must run on, if this machine has it, else ours."""
    places = [Path.home() / ".pyenv/versions", Path(os.environ.get("PYENV_ROOT", "/nowhere")) / "versions"]
    kept = [str(found) for place in places for found in sorted(place.glob("3.9.*/bin/python3.9"))]
    return next((name for name in [*kept, shutil.which("python3.9")] if name and _is_old(name)), sys.executable)


def _is_old(name: str) -> bool:
    """Say whether a program is that Python, and not one that only leads to it."""
    ended = subprocess.run([name, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, check=False)
    return ended.stdout.strip() == b"(3, 9)"


@dataclass
class Work:
    """What the scheduler gives to pilots; a test changes it as it likes."""

    desk: Desk
    tasks: list[RunTask] = field(default_factory=list)
    terms: PilotTerms = _QUICK
    over: bool = False
    end: list[RunEnding] = field(default_factory=list)
    asked: list[NextTask] = field(default_factory=list)
    silent: int = 0
    """How many questions go unanswered first."""

    @property
    def connection(self) -> Client:
        """Return the scheduler's connection."""
        return self.desk.connection

    def answer(self, asked: NextTask) -> PilotOrders:
        """Answer a pilot."""
        self.asked.append(asked)
        if self.over or asked.incarnation != self.asked[0].incarnation:
            return PilotOrders(backend="hpc", over=True)
        task = self.tasks[asked.number - 1] if 1 <= asked.number <= len(self.tasks) else None
        more = len(self.tasks) > asked.number
        return PilotOrders(backend="hpc", task=task, more=more, end=self.end, terms=self.terms)

    async def tell(self, task: RunTask, **more: Any) -> ControlReply:
        """Have the pilot end something."""
        asked = RunEnding(workload_id=task.workload_id, attempt=task.attempt, **more)
        message = await self.connection.request(pilot_subject(NAME), asked.model_dump_json().encode(), timeout=10)
        return ControlReply.model_validate_json(message.data)


@asynccontextmanager
async def open_work(nats: NatsSettings) -> AsyncIterator[Work]:
    """Answer pilots while the block runs."""
    async with open_desk(nats) as desk:
        work = Work(desk)

        async def take(message: Any) -> None:
            if work.silent:
                work.silent -= 1
                return
            orders = work.answer(NextTask.model_validate_json(message.data))
            await message.respond(Reply[Any](answer=orders).model_dump_json().encode())

        await desk.connection.subscribe(query_subject(NextTask), cb=take)
        yield work


@dataclass
class Cluster:
    """Starts pilots as native jobs of this machine."""

    folder: Path
    url: str
    python: str = sys.executable
    prefix: tuple[str, ...] = ()
    """Goes before what is started."""
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, **changes: str) -> subprocess.Popen[bytes]:
        """Start one."""
        archive = write_archive(self.folder / "bin")
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "SHUNTER_NATS_URL": self.url,
            "SHUNTER_PILOT_NAME": NAME,
            "SHUNTER_PILOT_TOKEN": "token",
            "SHUNTER_PILOT_FILE": str(archive.path),
            "SHUNTER_PILOT_SHA256": archive.sha256,
            "SHUNTER_PILOT_WORK": str(self.folder / "work"),
            "SHUNTER_PILOT_PYTHON": self.python,
            **changes,
        }
        with (self.folder / "said").open("ab") as said:
            process = subprocess.Popen([*self.prefix, "/bin/sh", "-c", SCRIPT], env=env, stderr=said, stdout=said)
        self.started.append(process)
        return process

    @property
    def said(self) -> str:
        """Return what the native jobs printed."""
        return (self.folder / "said").read_text()

    async def ended(self, process: subprocess.Popen[bytes], *, within: float = 20.0) -> int:
        """Wait for the end of one; returns its exit code."""
        return await asyncio.wait_for(asyncio.to_thread(process.wait), within)

    def family(self, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """Return the processes of one, its first included."""
        first = psutil.Process(process.pid)
        return [first, *first.children(recursive=True)]


@contextmanager
def pilots(folder: Path, url: str, python: str = sys.executable, prefix: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """Give a cluster; what it started is killed at the end."""
    cluster = Cluster(folder, url, python, prefix)
    try:
        yield cluster
    finally:
        for process in cluster.started:
            if process.poll() is None:
                family = cluster.family(process)
                for member in family:
                    with suppress(psutil.NoSuchProcess):
                        member.send_signal(signal.SIGKILL)
            process.wait()
