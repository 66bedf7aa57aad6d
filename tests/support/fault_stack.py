"""The real stack with a fault proxy on every way between two of its parts; each part can be killed, frozen, cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from deploy.local.parts import NAMES, SERVICES

from . import plain
from .fault_proxy import FaultProxy, Mode, run_proxy
from .servers import free_ports
from .stack import free_base

__all__ = ["LINKS", "SERVERS", "FaultStack", "await_that", "run_fault_stack", "scaled"]

SERVERS = ("nats", "temporal", "s3")
_ROOT = Path(__file__).parents[2]

_GRACE = 20.0
"""Seconds that a part has from SIGTERM until it must have ended."""

LINKS: Mapping[str, tuple[str, str]] = {
    **{f"{service}-nats": (service, "nats") for service in SERVICES},
    "scheduler-temporal": ("scheduler", "temporal"),
    "storage-s3": ("storage", "s3"),
    "runner-s3": ("runner", "s3"),
}
"""The ways that can be cut: who asks, and who answers. Over `runner-s3` goes whatever uses a presigned URL."""

_QUICK = {
    "scheduler": {"SHUNTER_SCHEDULER__WATCH__EVERY": "1", "SHUNTER_SCHEDULER__WATCH__SILENCE": "6"},
    "runner": {"SHUNTER_RUNNER__CPUS": "16", "SHUNTER_RUNNER__HEARTBEAT": "1"},
    "gateway": {"SHUNTER_GATEWAY__SUBMIT_WAIT": "0.5"},
    "storage": {},
    "accounting": {},
}
"""Shorter pauses than a site has, so that silence is noticed within a test."""


def scaled(seconds: float) -> float:
    """Return a deadline, longer by `SHUNTER_TEST_PATIENCE` on machines that are known to be slow."""
    return seconds * float(os.environ.get("SHUNTER_TEST_PATIENCE", "1"))


def await_that(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until a condition gives something true, and return that."""
    until = time.monotonic() + scaled(seconds)
    while not (found := condition()):
        assert time.monotonic() < until, f"waited {scaled(seconds):g} s for {what}"
        time.sleep(0.03)
    return found


@dataclass(slots=True)
class FaultStack:
    """A running stack whose parts and links do what a test wants."""

    data: Path
    port: int
    proxy: FaultProxy
    launcher: subprocess.Popen[str]
    parts: dict[str, Any]
    """For each part, `port` and `ready_url`."""
    pids: dict[str, int] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    ending: dict[str, float] = field(default_factory=dict)
    """Parts that were told to stop, and when."""
    overdue: list[str] = field(default_factory=list)
    """Parts that did not stop in time and were killed, as a supervisor does it."""
    extra: dict[str, dict[str, str]] = field(default_factory=dict)
    """More environment for a part, from its next start on."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """The event log as far as it was read."""
    next_sequence: int = 1
    _clients: dict[str, httpx.Client] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Return where the gateway listens."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, user: str = "owner", timeout: float = 30.0) -> httpx.Client:
        """Return the HTTP client of a demo user; it is closed with the stack."""
        key = f"{user}/{timeout}"
        if key not in self._clients:
            token = json.loads((self.data / "demo.json").read_text())["users"][user]["token"]
            headers = {"Authorization": f"Bearer {token}"}
            self._clients[key] = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)
        return self._clients[key]

    # --- parts --------------------------------------------------------------------------------------------------

    def start(self, name: str, *, ready: bool = True) -> None:
        """Start a part that does not run."""
        assert not self.runs(name), f"{name} runs already"
        self.ending.pop(name, None)
        self.pids[name] = self._launch(name, self._environment(name) if name in SERVICES else {})
        if ready:
            self.await_ready(name)

    def start_twin(self, name: str) -> str:
        """Start a second process of a service, on a port of its own; returns the name by which it goes."""
        (port,) = free_ports(1)
        twin, listen = f"{name}-2", "LISTEN" if name == "gateway" else "HEALTH"
        self.parts[twin] = {"port": port, "ready_url": f"http://127.0.0.1:{port}/readyz"}
        env = {**self._environment(name), f"SHUNTER_{name.upper()}__{listen}__PORT": str(port)}
        self.pids[twin] = self._launch(name, env)
        self.await_ready(twin)
        return twin

    def _launch(self, name: str, env: Mapping[str, str]) -> int:
        assert self.launcher.stdin
        assert self.launcher.stdout
        self.launcher.stdin.write(json.dumps({"start": name, "env": env}) + "\n")
        self.launcher.stdin.flush()
        return int(json.loads(self.launcher.stdout.readline())["pid"])

    def runs(self, name: str) -> bool:
        """Say whether a part has a process, frozen or not."""
        try:
            process = psutil.Process(self.pids[name])
            return process.ppid() == self.launcher.pid and process.status() != psutil.STATUS_ZOMBIE
        except (KeyError, psutil.NoSuchProcess):
            return False

    def kill(self, name: str) -> None:
        """End a part with `kill -9`."""
        self.signal(name, signal.SIGKILL)
        self.frozen.discard(name)
        self.ending.pop(name, None)
        await_that(lambda: not self.runs(name), f"{name} to be dead")

    def terminate(self, name: str) -> None:
        """Tell a part to stop, and do not wait; the S3 server is stopped by SIGKILL always."""
        self.signal(name, signal.SIGKILL if name == "s3" else signal.SIGTERM)
        self.ending[name] = time.monotonic()

    def await_ends(self) -> dict[str, float]:
        """Wait until all parts that were told to stop have ended; those that take too long are killed.

        Returns the seconds that each took.
        """
        taken: dict[str, float] = {}
        while self.ending:
            for name, since in list(self.ending.items()):
                late = time.monotonic() > since + scaled(_GRACE)
                if self.runs(name) and not late:
                    continue
                taken[name] = time.monotonic() - since
                if self.runs(name):
                    self.overdue.append(name)
                    self.kill(name)
                self.ending.pop(name, None)
            time.sleep(0.01)
        return taken

    def freeze(self, name: str) -> None:
        """Stop a part's clock, so to speak: it holds its connections and does nothing."""
        self.signal(name, signal.SIGSTOP)
        self.frozen.add(name)

    def thaw(self, name: str) -> None:
        """Let a frozen part go on."""
        self.signal(name, signal.SIGCONT)
        self.frozen.discard(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a part."""
        with suppress(ProcessLookupError):
            os.kill(self.pids[name], number)

    def heal(self) -> None:
        """Undo every fault: links open, frozen parts go on, dead ones are started. Ends when all say they are ready."""
        self.proxy.heal()
        for name in list(self.frozen):
            self.thaw(name)
        self.await_ends()
        for name in [name for name in NAMES if not self.runs(name)]:
            self.start(name, ready=False)
        for name in NAMES:
            self.await_ready(name)

    def await_ready(self, name: str) -> None:
        """Wait until a part says that it can work."""
        await_that(lambda: self.is_ready(name) or not self.runs(name), f"{name} to be ready", 90)
        assert self.runs(name), f"{name} ended; see {self.data}/logs/{name}.log"

    def is_ready(self, name: str) -> bool:
        """Ask a part whether it can work."""
        try:
            status = plain.get(self.parts[name]["ready_url"]).status_code
        except httpx.TransportError:
            return False
        return status < 500 if name in SERVERS else status == 200

    def _environment(self, name: str) -> dict[str, str]:
        at = {link: f"127.0.0.1:{self.proxy.links[link].port}" for link in LINKS}
        env = {"SHUNTER_NATS__URL": f"nats://{at[f'{name}-nats']}"}
        if name == "scheduler":
            env["SHUNTER_SCHEDULER__TEMPORAL__ADDRESS"] = at["scheduler-temporal"]
        if name == "storage":
            env["SHUNTER_STORAGE__S3__ENDPOINT"] = at["storage-s3"]
            env["SHUNTER_STORAGE__S3__PUBLIC_ENDPOINT"] = at["runner-s3"]
        return {**env, **_QUICK[name], **self.extra.get(name, {})}

    # --- what was told ------------------------------------------------------------------------------------------

    def read_events(self) -> list[dict[str, Any]]:
        """Return the whole event log; what was read before is not read again."""
        while True:
            params = {"since_sequence": self.next_sequence, "limit": 1000}
            page = self.client("admin").get("/v1/events", params=params).raise_for_status().json()
            if not page["items"]:
                return self.events
            self.events += [item["event"] for item in page["items"]]
            self.next_sequence = page["next_sequence"]

    def forget_events(self) -> None:
        """Read the event log from its beginning the next time: it has lost its store."""
        self.events.clear()
        self.next_sequence = 1

    def close(self) -> None:
        """Close the clients and end all processes."""
        for client in self._clients.values():
            client.close()
        for name in list(self.frozen):
            self.thaw(name)
        assert self.launcher.stdin
        self.launcher.stdin.close()
        try:
            self.launcher.wait(20)
        except subprocess.TimeoutExpired:
            self.launcher.kill()
            self.launcher.wait()
        if self.launcher.stdout:
            self.launcher.stdout.close()


@contextmanager
def run_fault_stack(data: Path, **extra: dict[str, str]) -> Iterator[FaultStack]:
    """Run a stack until the block ends; *extra* is more environment for the services, by name."""
    port = free_base()
    data.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.support.launcher", str(data), str(port)]
    with run_proxy() as proxy, (data / "launcher.log").open("ab") as log:
        launcher = subprocess.Popen(
            command,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        assert launcher.stdout
        line = launcher.stdout.readline()
        stack = FaultStack(data, port, proxy, launcher, json.loads(line) if line else {}, extra=extra)
        try:
            assert line, f"the launcher ended: {(data / 'launcher.log').read_text()[-2000:]}"
            _begin(stack)
            yield stack
        finally:
            stack.close()


def _begin(stack: FaultStack) -> None:
    stack.pids = stack.parts.pop("pids")
    for link, (_, server) in LINKS.items():
        stack.proxy.add(link, stack.parts[server]["port"])
    for name in SERVERS:
        stack.await_ready(name)
    for name in SERVICES:
        stack.start(name, ready=False)
    for name in SERVICES:
        stack.await_ready(name)
    assert all(link.mode is Mode.OPEN for link in stack.proxy.links.values())
