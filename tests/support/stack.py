"""The embedded stack as tests see it: started by the command line, on ports and a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from deploy.local.parts import STOP_ORDER

from . import plain

__all__ = ["Stack", "free_base", "run_stack", "shunter"]

_SPAN = 16
_STOP_ORDER = [name for group in STOP_ORDER for name in group]


def shunter() -> str:
    """Return the path of the `shunter` command of this environment."""
    return str(Path(sys.executable).parent / "shunter")


def free_base() -> int:
    """Return the first of sixteen free ports in a row, those 10000 above being free too."""
    for base in range(11_200 + os.getpid() * 496 % 8_000, 22_000, _SPAN):
        with ExitStack() as held:
            try:
                for port in [*range(base, base + _SPAN), *range(base + 10_007, base + 10_012)]:
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise RuntimeError("no free range of ports")


@dataclass(slots=True)
class Stack:
    """A running stack."""

    data: Path
    port: int
    process: subprocess.Popen[str]
    ready: dict[str, Any]
    """What `up --json` printed."""
    by_hand: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _clients: dict[str, httpx.Client] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Return where the gateway listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tokens(self) -> dict[str, str]:
        """Return the tokens of the demo users, by name."""
        users = json.loads((self.data / "demo.json").read_text())["users"]
        return {name: found["token"] for name, found in users.items()}

    @property
    def record(self) -> dict[str, Any]:
        """Return `stack.json` as it is now."""
        found: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return found

    @property
    def pids(self) -> dict[str, int]:
        """Return the process of each part that the stack runs."""
        return {name: part["pid"] for name, part in self.record["parts"].items()}

    @property
    def alive(self) -> dict[str, int]:
        """Return the process of each part, whoever started it."""
        mine = {str(process.args[2]): process.pid for process in self.by_hand}  # type: ignore[index]
        return {**self.pids, **mine}

    def client(self, user: str = "owner") -> httpx.Client:
        """Return the HTTP client of a demo user; it is closed with the stack."""
        if user not in self._clients:
            headers = {"Authorization": f"Bearer {self.tokens[user]}"}
            self._clients[user] = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)
        return self._clients[user]

    def environment(self, user: str = "owner") -> dict[str, str]:
        """Return the environment in which the command line speaks to this stack as a demo user."""
        return {**os.environ, "SHUNTER_URL": self.url, "SHUNTER_TOKEN": self.tokens[user]}

    def metrics(self, part: str, name: str) -> dict[str, float]:
        """Return the figures of one metric of a part, by their labels."""
        url = self.ready["parts"][part]["url"]
        lines = plain.get(f"{url}/metrics").text.splitlines()
        found = (line.rpartition(" ") for line in lines if line.startswith(f"{name}{{"))
        return {labels.removeprefix(f"{name}{{").removesuffix("}"): float(value) for labels, _, value in found}

    def kill(self, name: str) -> None:
        """End a part with `kill -9`, whoever started it, and wait until it is gone."""
        for process in [process for process in self.by_hand if process.args[2] == name]:  # type: ignore[index]
            process.kill()
            process.wait()
            self.by_hand.remove(process)
        if pid := self.pids.get(name):
            os.kill(pid, signal.SIGKILL)
            _wait_until(lambda: name not in self.pids, f"{name} to be noted as dead")

    def start_part(self, name: str, *, wait: float = 30.0) -> None:
        """Start a part by hand, `shunter service NAME`, and wait until it answers."""
        with (self.data / "logs" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [shunter(), "service", name, "--data", str(self.data)], stdout=log, stderr=log, start_new_session=True
            )
        self.by_hand.append(process)
        url = self.ready["parts"][name]["ready_url"]
        _wait_until(lambda: process.poll() is not None or _answers(url), f"{name} to answer", wait)
        assert process.poll() is None, f"{name} ended with {process.poll()}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the stack and what was started by hand; returns its exit code."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        for name in _STOP_ORDER:
            for process in [process for process in self.by_hand if process.args[2] == name]:  # type: ignore[index]
                _end(process)
        self.by_hand.clear()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(90)

    def processes(self) -> list[psutil.Process]:
        """Return the stack's process and all that descends from it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a part that was started by hand; what does not end in time is killed, so that no test leaves it behind."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return plain.get(url).status_code in {200, 403}  # S3 asks who we are
    except httpx.TransportError:
        return False


def _wait_until(condition: Any, what: str, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@contextmanager
def run_stack(
    data: Path, *options: str, port: int | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Run `shunter up --demo` until the block ends; parts that die stay dead unless *options* say otherwise."""
    port = port or free_base()
    arguments: Sequence[str] = options or ("--demo", "--no-restart")
    data.mkdir(parents=True, exist_ok=True)
    command = [shunter(), "up", "--data", str(data), "--port", str(port), "--json", *arguments]
    with (data / "up.log").open("ab") as log:
        env = {**os.environ, **(environment or {})}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True, env=env
        )
    stack = Stack(data, port, process, {})
    try:
        stack.ready = _read_ready(process, data)
        yield stack
    finally:
        stack.stop()
        if process.stdout:
            process.stdout.close()


def _read_ready(process: subprocess.Popen[str], data: Path) -> dict[str, Any]:
    assert process.stdout
    line = process.stdout.readline()
    assert line, f"the stack did not come up: {(data / 'up.log').read_text()[-4000:]}"
    found: dict[str, Any] = json.loads(line)
    return found
