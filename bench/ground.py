"""What the rows stand on, started when the first one asks: a stack of its own, and the peers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.support.stack import Stack, free_base, run_stack

from .peers.psik import run_psik

__all__ = ["JOB", "Ground", "cpu_note", "cpu_of"]

JOB = b'{"argv":["true"]}'
"""The body of the job that everybody runs."""

_APPS = Path(__file__).parent / "peers" / "apps"
_TICK = os.sysconf("SC_CLK_TCK")


class Ground:
    """Stacks and peers for one run of the table."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        """Whether sizes are small: to see that it works, not to be quoted."""
        self._open = ExitStack()
        self._folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="shunter-bench-")))
        self._stack: Stack | None = None
        self._psik = ""
        self._bare = ""
        self._stacks = 0

    def close(self) -> None:
        """Stop all."""
        self._open.close()

    @property
    def folder(self) -> Path:
        """Return where files may be put."""
        return self._folder

    def size(self, full: int, quick: int) -> int:
        """Return how many, by the kind of run."""
        return quick if self.quick else full

    @property
    def stack(self) -> Stack:
        """Return the stack that rows share which leave nothing behind."""
        if self._stack is None:
            self._stack = self._open.enter_context(self.own_stack())
        return self._stack

    @contextmanager
    def own_stack(self, environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
        """Run a stack for one row that leaves work behind; its first job has been run."""
        self._stacks += 1
        with run_stack(self._folder / f"stack-{self._stacks}", environment=environment) as stack:
            client = stack.client("owner")
            job = client.post("/v1/jobs", json={"argv": ["true"]}).raise_for_status().json()
            client.get(f"/v1/jobs/{job['id']}", params={"wait": 30}).raise_for_status()
            yield stack

    @property
    def psik(self) -> str:
        """Return the URL of psik_api."""
        if not self._psik:
            self._psik = self._open.enter_context(run_psik(self._folder / "psik", free_base()))
        return self._psik

    @property
    def bare(self) -> str:
        """Return the URL of a FastAPI app with one worker that does nothing."""
        if not self._bare:
            self._bare = self._open.enter_context(_run_bare(free_base()))
        return self._bare


@contextmanager
def _run_bare(port: int) -> Iterator[str]:
    command = [sys.executable, "-m", "uvicorn", "bare:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen([*command, "--no-access-log"], cwd=_APPS)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/jobs/x", timeout=2, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(15)


def cpu_of(pids: dict[str, int]) -> dict[str, float]:
    """Return the seconds of CPU that each process has used, its threads included."""
    found = {}
    for name, pid in pids.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        found[name] = (int(fields[11]) + int(fields[12])) / _TICK
    return found


def cpu_note(what: str, before: dict[str, float], after: dict[str, float], count: int) -> str:
    """Say what one of *count* things cost, in milliseconds of CPU by process: steadier than a rate under noise."""
    spent = {name: (used - before[name]) / count * 1000 for name, used in after.items()}
    parts = ", ".join(
        f"{name} {ms:.2f}" for name, ms in sorted(spent.items(), key=lambda item: -item[1]) if ms >= 0.005
    )
    return f"CPU of one {what}, ms: {parts}; together {sum(spent.values()):.2f}"
