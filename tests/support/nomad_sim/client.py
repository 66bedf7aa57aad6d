"""What a node does with an allocation: it runs the task's command as a process of this machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import time_ns
from typing import Any

import httpx
import psutil

from .store import Row, Store

__all__ = ["Run"]

_LOOK = 0.05
"""Seconds between two looks at how much memory a process tree uses."""
_BOUNDED = frozenset({"exec", "docker"})
"""Drivers that hold a task to its memory."""


@dataclass
class Run:
    """One allocation on its node. *done* is called when it has ended."""

    store: Store
    job: Row
    alloc: Row
    folder: Path
    images: frozenset[str]
    _process: Process | None = None
    _oom: bool = False
    _killed: bool = False
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def _task(self) -> Row:
        found: Row = self.job["TaskGroups"][0]["Tasks"][0]
        return found

    async def run(self) -> None:
        """Run it to its end."""
        self._say("Received", "Task received by client")
        try:
            command = self._prepare()
            await self._fetch()
        except _FailedError as error:
            self._say(error.kind, str(error))
            self._end("failed")
            return
        self._say("Task Setup", "Building Task Directory")
        if self._wanted.is_set():
            self._end("complete")
            return
        with (self.folder / "stdout").open("wb") as out:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=self._environment(), cwd=self.folder, stdin=DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        self._say("Started", "Task started by client")
        self._move("running", "Tasks are running")
        killing = asyncio.create_task(self._kill_when_wanted())
        bounding = asyncio.create_task(self._bound())
        code = await self._process.wait()
        for task in (killing, bounding):
            task.cancel()
        await asyncio.gather(killing, bounding, return_exceptions=True)
        self._sweep()
        self._terminated(code)

    def kill(self) -> None:
        """Have it end: SIGTERM, some time, SIGKILL."""
        self._wanted.set()

    def crash(self) -> None:
        """Lose the node it is on: nothing of it runs any more, and nobody says so."""
        self._killed = True
        self._sweep()

    def _prepare(self) -> list[str]:
        for name in ("local", "secrets", "alloc"):
            (self.folder / name).mkdir(parents=True)
        for each in self._task.get("Templates") or []:
            path = self.folder / each["DestPath"]
            path.write_text(each["EmbeddedTmpl"])
            path.chmod(int(each.get("Perms") or "0644", 8))
        config: dict[str, Any] = self._task["Config"]
        if self._task["Driver"] != "docker":
            return [self._fill(word) for word in [config["command"], *config.get("args", [])]]
        if config["image"] not in self.images:
            raise _FailedError(
                "Driver Failure", f"Failed to pull `{config['image']}`: API error (404): pull access denied"
            )
        return [self._fill(word) for word in [*config["entrypoint"], *config.get("args", [])]]

    async def _fetch(self) -> None:
        for each in self._task.get("Artifacts") or []:
            wanted = (each["GetterOptions"] or {}).get("checksum", "")
            async with httpx.AsyncClient(trust_env=False) as client:
                response = await client.get(each["GetterSource"])
            if not response.is_success:
                raise _FailedError("Failed Artifact Download", f"bad response code: {response.status_code}")
            if wanted not in {"", f"sha256:{sha256(response.content).hexdigest()}"}:
                raise _FailedError("Failed Artifact Download", "Checksums did not match")
            (self.folder / each["RelativeDest"]).write_bytes(response.content)

    def _known(self) -> dict[str, str]:
        devices = [device for each in self._given()["Devices"] or [] for device in each["DeviceIDs"]]
        gpus = {"NVIDIA_VISIBLE_DEVICES": ",".join(devices)} if devices else {}
        return gpus | {
            "NOMAD_TASK_DIR": str(self.folder / "local"), "NOMAD_SECRETS_DIR": str(self.folder / "secrets"),
            "NOMAD_ALLOC_DIR": str(self.folder / "alloc"), "NOMAD_ALLOC_ID": self.alloc["ID"],
            "NOMAD_JOB_NAME": self.job["Name"], "NOMAD_TASK_NAME": self._task["Name"],
        }  # fmt: skip

    def _given(self) -> Row:
        found: Row = self.alloc["AllocatedResources"]["Tasks"][self._task["Name"]]
        return found

    def _fill(self, word: str) -> str:
        known = self._known() | (self._task.get("Env") or {})
        return re.sub(r"\$\{([A-Za-z0-9_.-]+)\}", lambda found: known.get(found[1], found[0]), word)

    def _environment(self) -> dict[str, str]:
        own = {key: self._fill(value) for key, value in (self._task.get("Env") or {}).items()}
        return {name: os.environ[name] for name in ("PATH", "HOME")} | self._known() | own

    async def _kill_when_wanted(self) -> None:
        await self._wanted.wait()
        seconds = (self._task.get("KillTimeout") or 5 * 10**9) / 10**9
        self._killed = True
        self._say("Killing", f"Sent interrupt. Waiting {seconds:g}s before force killing")
        assert self._process is not None
        number = signal.Signals[self._task.get("KillSignal") or "SIGINT"]
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        await asyncio.sleep(seconds)
        self._sweep()

    async def _bound(self) -> None:
        if self._task["Driver"] not in _BOUNDED:
            return
        most = self._given()["Memory"]["MemoryMB"] * 2**20
        while True:
            await asyncio.sleep(_LOOK)
            if self._memory() > most:
                self._oom = True
                self._sweep()

    def _memory(self) -> int:
        assert self._process is not None
        used = 0
        with suppress(psutil.Error):
            leader = psutil.Process(self._process.pid)
            for process in [leader, *leader.children(recursive=True)]:
                with suppress(psutil.Error):
                    used += process.memory_info().rss
        return used

    def _sweep(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _terminated(self, code: int) -> None:
        if self.alloc["ClientStatus"] == "lost":
            return
        number = -code if code < 0 else 0
        exit_code = 128 + number if number else code
        more = {"oom_killed": "true"} if self._oom else {}
        said = f'Exit Code: {exit_code}, Exit Message: "OOM Killed"' if self._oom else f"Exit Code: {exit_code}"
        self._say("Terminated", said, exit_code=str(exit_code), signal=str(number), **more)
        if self._killed:
            self._say("Killed", "Task successfully killed")
        failed = (exit_code != 0 and not self._killed) or self._oom
        if failed:
            self._say("Not Restarting", "Policy allows no restarts")
        self._end("failed" if failed else "complete")

    def _say(self, kind: str, message: str, **details: str) -> None:
        states = self.alloc["TaskStates"] or {}
        state = states.setdefault(self._task["Name"], {"State": "pending", "Failed": False, "Events": []})
        event = {"Type": kind, "DisplayMessage": message, "Details": details, "Time": time_ns()}
        state["Events"].append(event)
        self.alloc["TaskStates"] = states
        self.store.touch("allocs", self.alloc)

    def _move(self, status: str, words: str) -> None:
        self.alloc |= {"ClientStatus": status, "ClientDescription": words}
        state = self.alloc["TaskStates"][self._task["Name"]]
        state |= {"State": "running" if status == "running" else "dead", "Failed": status == "failed"}
        self.store.touch("allocs", self.alloc)
        self.store.settle(self.job)

    def _end(self, status: str) -> None:
        self._move(status, "All tasks have completed" if status == "complete" else "Failed tasks")


class _FailedError(Exception):
    """It cannot be started."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind
