"""Where the demo plays: a stack of its own, the command line and the REST API in front of it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.local.ports import suggest
from deploy.local.processes import end_with_parent
from deploy.local.servers import StartError

__all__ = ["DemoError", "Scene", "check", "open_scene", "sha256_of", "title"]

_SHUNTER = str(Path(sys.executable).parent / "shunter")
_GROUPS = {"files", "audit"}
"""Commands of two words."""
_READY_WITHIN = 90.0
_STOPPED_WITHIN = 90.0


class DemoError(Exception):
    """Something is not as the demo says."""


def title(text: str) -> None:
    """Announce the next point."""
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def check(what: str, *, holds: bool) -> None:
    """Say that something holds, or stop the demo."""
    if not holds:
        raise DemoError(f"this does not hold: {what}")
    print(f"   checked: {what}", flush=True)


def sha256_of(file: Path) -> str:
    """Return a file's checksum."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Scene:
    """A running stack, seen as one of its users."""

    folder: Path
    data: Path
    demo: Mapping[str, Any]

    def environment(self, user: str) -> dict[str, str]:
        """Return the environment in which the command line is *user*."""
        token = self.demo["users"][user]["token"]
        # Where nobody tells how wide the page is (a pipe, CI), tables are not to be cut short.
        width = {} if sys.stdout.isatty() else {"COLUMNS": "160"}
        return {**os.environ, **width, "SHUNTER_URL": self.demo["gateway"], "SHUNTER_TOKEN": token}

    def shunter(self, *arguments: str, user: str = "owner", code: int = 0) -> None:
        """Run a command before the eyes of the audience."""
        print(f"$ shunter {shlex.join(arguments)}", flush=True)
        done = subprocess.run([_SHUNTER, *arguments], env=self.environment(user), cwd=self.folder, check=False)  # noqa: S603
        if done.returncode != code:
            raise DemoError(f"shunter {arguments[0]} ended with {done.returncode}, not {code}")

    def ask(self, *arguments: str, user: str = "owner") -> Any:
        """Run a command with `--json` and return what it says."""
        words = arguments[:2] if arguments[0] in _GROUPS else arguments[:1]
        command = [_SHUNTER, *words, "--json", *arguments[len(words) :]]
        print(f"$ shunter {shlex.join(command[1:])}", flush=True)
        done = subprocess.run(  # noqa: S603
            command, env=self.environment(user), cwd=self.folder, check=False, stdout=subprocess.PIPE
        )
        if done.returncode:
            raise DemoError(f"shunter {arguments[0]} ended with {done.returncode}")
        return json.loads(done.stdout)

    def get(self, path: str, user: str = "owner") -> Any:
        """GET from the REST API."""
        headers = {"Authorization": f"Bearer {self.demo['users'][user]['token']}"}
        response = httpx.get(f"{self.demo['gateway']}{path}", headers=headers, timeout=60, trust_env=False)
        if response.status_code != 200:
            raise DemoError(f"GET {path} answered {response.status_code}: {response.text[:500]}")
        is_json = "json" in response.headers["content-type"]
        return response.json() if is_json else response.content

    def wait_for(self, job_id: str, state: str) -> Any:
        """Wait until a job has come to a state."""
        until = time.monotonic() + 30
        while (job := self.get(f"/v1/jobs/{job_id}"))["state"] != state:
            if time.monotonic() > until:
                raise DemoError(f"{job_id} is {job['state']}, not {state}")
            time.sleep(0.1)
        return job


@contextmanager
def open_scene(folder: Path) -> Iterator[Scene]:
    """Start a stack on free ports and a fresh folder; it is stopped however the block ends."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data, port = folder / "stack", suggest(8800)
    if port is None:
        raise StartError("no free range of ports was found")
    command = [_SHUNTER, "up", "--demo", "--data", str(data), "--port", str(port)]
    print(f"$ {shlex.join(['shunter', *command[1:]])}", flush=True)
    # A session of its own: Ctrl-C is ours, and we stop the stack in good order.
    with subprocess.Popen(command, start_new_session=True, preexec_fn=end_with_parent) as stack:  # noqa: PLW1509, S603
        try:
            _wait_until_ready(stack, data)
            yield Scene(folder, data, json.loads((data / "demo.json").read_text()))
        finally:
            stack.terminate()
            stack.wait(_STOPPED_WITHIN)
    if stack.returncode:
        raise DemoError(f"the stack ended with {stack.returncode}")


def _wait_until_ready(stack: subprocess.Popen[bytes], data: Path) -> None:
    until = time.monotonic() + _READY_WITHIN
    while not _is_ready(data):
        if stack.poll() is not None:
            raise DemoError("the stack did not start")
        if time.monotonic() > until:
            raise DemoError(f"the stack was not ready within {_READY_WITHIN:.0f} s")
        time.sleep(0.05)


def _is_ready(data: Path) -> bool:
    try:
        return bool(json.loads((data / "stack.json").read_text())["ready"])
    except FileNotFoundError:
        return False
