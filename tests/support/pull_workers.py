"""Our own workers of a pull backend, in this process or as users start them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from services.scheduler.runner.pulling.main import work
from services.scheduler.runner.settings import RunnerSection, RunnerSettings
from tests.support.pull_site import PullSite, bearer
from tests.support.pulling import poll
from tests.support.runners import FakeGpus

__all__ = ["lives", "pid_of", "until_gone", "worker_process", "working"]

_ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def working(
    site: PullSite, folder: Path, who: str = "wim", name: str = "box", **more: Any
) -> AsyncIterator[None]:
    """Run a worker in this process."""
    section = RunnerSection(
        backend="pull", name=name, work=folder, cpus=2, memory=2**30, heartbeat=0.2, keep=0.0, **more
    )
    stop = asyncio.Event()
    url = str(site.client.base_url)

    def connect() -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=url, headers=bearer(who), trust_env=False)

    working = asyncio.create_task(work(connect, RunnerSettings(runner=section), stop, gpus=FakeGpus()))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await working


@asynccontextmanager
async def worker_process(
    site: PullSite, folder: Path, who: str, *options: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `shunter worker pull` as users do."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 (a test may wait)
    secret = folder / "token"
    secret.write_text(f"token-of-{who}")
    words = ["--url", str(site.client.base_url), "--token-file", str(secret), "worker", "pull", "--json"]
    words += ["--work", str(folder / "work"), "--name", who, "--cpus", "1", "--memory", "1GiB", "--gpus", "0", *options]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SHUNTER_")}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shunter", *words),
        cwd=_ROOT,
        env={**environ, "XDG_CONFIG_HOME": str(folder)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await child.wait()


async def pid_of(run: Path) -> int:
    """Return the number that a run's program wrote down."""
    pid = run / "work" / "pid"
    text = await poll(lambda: asyncio.to_thread(lambda: pid.read_text() if pid.exists() else ""), bool)
    return int(text)


def lives(pid: int) -> bool:
    """Say whether a process lives."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until_gone(pid: int) -> None:
    """Wait until it does no more."""
    await poll(lambda: asyncio.to_thread(lives, pid), lambda found: not found)
