"""The worker of DECODE OpenCloud as it speaks with the worker API: its calls, in its order, with its patience.

What it does was learned by reading and running it (`seeds/decode.md`); the words are ours. Its container is a shell
with the job's folder in the place of `/files`, and its login, which needs Cognito, is a token.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

__all__ = ["Cadence", "JobFetcher"]

_RETRIES = 6
_PASSING = (429, 500, 502, 503, 504)
_TAIL = 1000


@dataclass(frozen=True, slots=True)
class Cadence:
    """Seconds between its calls; a test has no time for the original's."""

    job: float = 10.0
    """Between two questions for a job."""
    status: float = 10.0
    """Between two words on how one goes."""
    backoff: float = 3.0
    """Grows with each of the tries of one call."""


def _session(backoff: float) -> requests.Session:
    """Return what all calls go through: any answer that is an error is raised, some are tried again, posts never."""
    session = requests.Session()
    session.trust_env = False
    session.hooks = {"response": [_raise_for_status]}
    session.mount(
        "http://", HTTPAdapter(max_retries=Retry(_RETRIES, backoff_factor=backoff, status_forcelist=_PASSING))
    )
    return session


def _raise_for_status(response: requests.Response, **_more: Any) -> None:
    response.raise_for_status()


@dataclass
class JobFetcher:
    """One worker, which does one job after the other."""

    url: str
    token: str
    folder: Path
    cadence: Cadence
    cores: int = 2
    memory: int = 2048
    gpu: Mapping[str, Any] = field(default_factory=dict)
    """`gpu_model` and `gpu_memory` of the first GPU, if there is one."""
    said: list[tuple[str, str]] = field(default_factory=list)
    """Each job and what was said of it, repeats left out."""
    killed: list[str] = field(default_factory=list)
    """Jobs whose container was killed, for they were gone."""
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Dial nobody yet."""
        self._session = _session(self.cadence.backoff)

    def run(self) -> None:
        """Ask for jobs and do them until told to stop; any error but a 404 ends it, as it ends the original."""
        access = self._session.get(f"{self.url}/access_info").json()["cognito"]
        assert {"client_id", "region"} <= access.keys()
        while not self.stop.is_set():
            found = self._call("GET", "/jobs", params=self._offer()).json()
            if not found:
                self.stop.wait(self.cadence.job)
                continue
            ((number, job),) = found.items()
            self._do(number, job)

    def _offer(self) -> dict[str, Any]:
        return {"limit": 1, "cpu_cores": self.cores, "memory": self.memory, **self.gpu}

    def _do(self, number: str, job: dict[str, Any]) -> None:
        place, container = self.folder / number, None
        try:
            with self._saying(number, "preprocessing"):
                self._fetch(job["handler"]["files_down"] or {}, place)
                folders = {kind: place / path for kind, path in (job["handler"]["files_up"] or {}).items()}
                for path in folders.values():
                    path.mkdir(parents=True, exist_ok=True)
                container = _start(job["app"], place)
            code = self._follow(number, container)
            with self._saying(number, "postprocessing"):
                for kind, path in folders.items():
                    for file in (one for one in sorted(path.rglob("*")) if one.is_file()):
                        self._bring(number, kind, file, file.relative_to(place))
            if code == 0:
                self._say(number, "finished", "")
            else:
                printed = str((place.parent / f"{number}.log").read_bytes())
                self._say(number, "error", f"Logs:\n{printed[-_TAIL:]}")
        except requests.HTTPError as error:
            if error.response is None or error.response.status_code != requests.codes.not_found:
                raise
            if container and container.poll() is None:
                container.kill()
                container.wait()
                self.killed.append(number)
        shutil.rmtree(place)

    def _follow(self, number: str, container: subprocess.Popen[bytes]) -> int:
        """Say how its container is until it has ended; the end is said too, and the engine has nothing to add."""
        while True:
            code = container.poll()
            if code is None:
                self._say(number, "running")
            elif code == 0:
                self._say(number, "postprocessing")
                return code
            else:
                self._say(number, "error", "")
                return code
            time.sleep(self.cadence.status)

    @contextmanager
    def _saying(self, number: str, status: str) -> Iterator[None]:
        """Say the same again and again from a thread; at the end its last pause is sat out. Errors end the thread."""
        over, failed = threading.Event(), threading.Event()

        def talk() -> None:
            while not over.is_set():
                try:
                    self._say(number, status)
                except requests.RequestException:
                    failed.set()
                    return
                time.sleep(self.cadence.status)

        thread = threading.Thread(target=talk)
        thread.start()
        yield
        over.set()
        thread.join()

    def _say(self, number: str, status: str, details: str | None = None) -> None:
        self._call("PUT", f"/jobs/{number}/status", params={"status": status, "runtime_details": details})
        if not self.said or self.said[-1] != (number, status):
            self.said.append((number, status))

    def _fetch(self, files: Mapping[str, str], place: Path) -> None:
        place.mkdir(parents=True)
        for path, file_id in files.items():
            told = self._call("GET", f"/files/{file_id}/url").json()
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self._session.request(**told).content)

    def _bring(self, number: str, kind: str, file: Path, path: Path) -> None:
        query = {"base_path": os.path.dirname(path), "type": kind}  # noqa: PTH120 (of the top it is "", not ".")
        told = self._call("POST", f"/jobs/{number}/files/url", params=query).json()
        with file.open("rb") as content:
            self._session.request(**told, files={"file": (path.name, content)})

    def _call(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self._session.request(method, f"{self.url}{path}", headers=headers, **more)


def _start(app: Mapping[str, Any], place: Path) -> subprocess.Popen[bytes]:
    """Start what takes the place of a container: its words are joined to a line for a shell."""
    line = " ".join(app["cmd"]).replace("/files", str(place))
    with (place.parent / f"{place.name}.log").open("wb") as log:
        env = {"PATH": os.environ["PATH"], **(app["env"] or {})}
        return subprocess.Popen(["/bin/sh", "-c", line], cwd=place, env=env, stdout=log, stderr=log)
