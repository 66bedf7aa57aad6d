"""Looks after the container of one run: starts it, passes on what it prints, ends with its code.

It is the program of a run as far as the rest of the runner is concerned, and goes on when the runner is killed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException

from contracts.states import Reason
from services.scheduler.containers.link import words_of
from services.scheduler.runner.journal import RunFolder, Verdict

from .spec import Boxed

__all__ = ["run"]

_PATIENCE = 60.0
"""Seconds that an engine has to come back; with `--live-restore` its containers go on meanwhile."""
_AGAIN = 0.5
_NOT_STARTED, _NOT_KNOWN = 127, 125
_BUSY = 409

_AWAY = (requests.RequestException, DockerException, OSError)


class _Box:
    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._boxed = folder.read_box(Boxed)
        self._client = docker.APIClient(base_url=self._boxed.url, version="auto", timeout=self._boxed.timeout)

    def run(self) -> int:
        """Return the code with which the program ended."""
        try:
            streams = self._start()
        except _AWAY as error:
            is_refused = isinstance(error, APIError) and 400 <= (error.status_code or 0) < 500
            return self._not_started(words_of(error), Reason.REFUSED if is_refused else Reason.INTERRUPTED)
        while True:
            try:
                _pass_on(streams)
                self._client.wait(self._boxed.name)
                return self._ended(self._state())
            except _AWAY as error:
                state = self._when_it_is_back()
                if state is None or not state.get("Running"):
                    self._tell(Reason.INTERRUPTED, f"the container engine went away: {words_of(error)}")
                    return int((state or {}).get("ExitCode") or _NOT_KNOWN)
                streams = self._attach()

    def _start(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        name, config = self._boxed.name, self._boxed.config
        try:
            self._client.create_container_from_config(config, name)
        except APIError as error:
            if error.status_code != _BUSY:
                raise
            # Of an earlier try that came no further.
            self._client.remove_container(name, v=True, force=True)
            self._client.create_container_from_config(config, name)
        streams = self._attach()
        self._client.start(name)
        return streams

    def _attach(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        found: Iterator[tuple[bytes | None, bytes | None]] = self._client.attach(
            self._boxed.name, stdout=True, stderr=True, stream=True, demux=True
        )
        return found

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._client.inspect_container(self._boxed.name)["State"]
        return state

    def _ended(self, state: dict[str, Any]) -> int:
        code = int(state["ExitCode"])
        if code and state.get("OOMKilled"):
            self._tell(Reason.MEMORY, "its container needed more memory than was asked for")
        return code

    def _when_it_is_back(self) -> dict[str, Any] | None:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            try:
                return self._state()
            except APIError as error:
                if error.status_code == requests.codes.not_found:
                    return None
            except _AWAY:
                pass
            time.sleep(_AGAIN)
        return None

    def _not_started(self, words: str, reason: Reason) -> int:
        self._tell(reason, f"its image cannot be run here: {words}")
        os.write(2, f"shunter: {words}\n".encode())
        return _NOT_STARTED

    def _tell(self, reason: Reason, message: str) -> None:
        self._folder.write_fate(Verdict(reason=reason, message=message))


def _pass_on(streams: Iterator[tuple[bytes | None, bytes | None]]) -> None:
    for printed in streams:
        for handle, data in zip((1, 2), printed, strict=True):
            left = data or b""
            while left:
                left = left[os.write(handle, left) :]


def run(folder: str) -> int:
    """Run the container that a folder says."""
    return _Box(RunFolder(Path(folder))).run()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
