"""What the data folder knows of the stack that runs on it: a lock, and `stack.json`."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .configuration import write_private
from .ports import PortPlan
from .processes import Child, is_alive, kill_family, start_time
from .servers import StartError

__all__ = ["end_leftovers", "read_record", "stack_lock", "write_record"]

_PATIENCE = 10.0
"""Seconds that processes of a killed stack have to end by themselves."""


@contextmanager
def stack_lock(data: Path) -> Iterator[None]:
    """Hold the folder for one stack; the lock goes with the process, however that ends."""
    with (data / "stack.lock").open("a") as lock:
        try:
            # A record lock: unlike flock's, it is not inherited by the processes that we fork.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = (read_record(data) or {}).get("pid", "unknown")
            raise StartError(
                f"a stack runs on {data} already (pid {owner}); stop it with `shunter down --data {data}`"
            ) from None
        yield


def _record_path(data: Path) -> Path:
    return data / "stack.json"


def read_record(data: Path) -> dict[str, Any] | None:
    """Return what the last stack of this folder wrote, if there was one."""
    with suppress(FileNotFoundError, json.JSONDecodeError):
        found: dict[str, Any] = json.loads(_record_path(data).read_text())
        return found
    return None


def write_record(data: Path, plan: PortPlan, children: Mapping[str, Child], *, ready: bool, demo: bool) -> None:
    """Write down which processes make up the stack."""
    parts = {
        name: {
            "pid": child.pid,
            "started": child.started,
            "url": child.part.url,
            "ready_url": child.part.ready_url,
            "log": str(child.part.log),
        }
        for name, child in children.items()
    }
    record = {
        "pid": os.getpid(),
        "started": start_time(os.getpid()),
        "ready": ready,
        "demo": demo,
        "port": plan.base,
        "gateway": f"http://127.0.0.1:{plan['gateway']}",
        "docs": f"http://127.0.0.1:{plan['gateway']}/docs",
        "temporal_ui": f"http://127.0.0.1:{plan['temporal ui']}",
        "s3": f"http://127.0.0.1:{plan['s3']}",
        "config": str(data / "shunter.yaml"),
        "demo_users": str(data / "demo.json") if demo else None,
        "parts": parts,
    }
    write_private(_record_path(data), json.dumps(record, indent=2) + "\n")


def end_leftovers(data: Path) -> list[str]:
    """End what a stack that was killed left behind; returns the names. Call with the lock held."""
    parts = (read_record(data) or {}).get("parts", {})
    left = {name: part for name, part in parts.items() if is_alive(part["pid"], part["started"])}
    for part in left.values():
        with suppress(ProcessLookupError):
            os.kill(part["pid"], signal.SIGTERM)
    _wait_for_end(left.values())
    for part in left.values():
        if is_alive(part["pid"], part["started"]):
            kill_family(part["pid"])
    return list(left)


def _wait_for_end(parts: Iterable[Mapping[str, Any]]) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and any(is_alive(part["pid"], part["started"]) for part in parts):
        time.sleep(0.05)
