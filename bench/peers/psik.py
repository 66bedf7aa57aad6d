"""psik_api 1.0.0, installed beside us and run with its local backend."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

__all__ = ["PINS", "install", "list_jobs", "many_jobs", "one_job", "run_psik"]

PINS = ("psik_api==1.0.0", "psik==1.3.0", "pydantic==2.9.2", "fastapi==0.101.1", "uvicorn==0.23.2")
"""The versions that its own pins resolve to, with the newest pydantic that it imports under."""

_HERE = Path(__file__).parent
_VENV = _HERE.parent.parent / ".bench" / "psik"


def install() -> Path:
    """Make a virtual environment with the peer in it, once."""
    if not shutil.which("rc"):
        raise SystemExit("psik_api runs scripts by the `rc` shell: apt-get install rc")
    if not (_VENV / "bin" / "uvicorn").exists():
        subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=True)
        subprocess.run([_VENV / "bin" / "pip", "install", "-q", *PINS], check=True)
    return _VENV


@contextmanager
def run_psik(folder: Path, port: int) -> Iterator[str]:
    """Run the peer; gives the URL of its API."""
    venv = install()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "psik.json"
    backend = {"prefix": str(folder / "jobs"), "backend": {"type": "local"}}
    config.write_text(json.dumps({"authz": "local", "backends": {"default": backend}}))
    (folder / "jobs").mkdir(exist_ok=True)
    path = f"{venv / 'bin'}:{os.environ['PATH']}"
    with (folder / "psik.log").open("w") as log:
        process = subprocess.Popen(
            [venv / "bin" / "uvicorn", "psik_v1:app", "--host", "127.0.0.1", "--port", str(port)],
            cwd=_HERE / "apps",
            env={**os.environ, "PSIK_API_CONFIG": str(config), "PATH": path, "VIRTUAL_ENV": str(venv)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _wait(url, process)
        yield url
    finally:
        # With its jobs: what it has not come to would go on long after it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(15)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit("psik_api did not start; see psik.log")
        try:
            if httpx.get(f"{url}/backends", timeout=2).status_code < 500:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("psik_api did not answer")


def one_job(client: httpx.Client, url: str) -> float | None:
    """Run `true` from submit to completed; None if it never ends, which happens: a lost transition."""
    began = time.perf_counter()
    job = client.post(f"{url}/jobs", json={"script": "true"}).raise_for_status().json()
    while time.perf_counter() - began < 20:
        # It drops connections and answers 500 while a state is being written: asked again, as any client would.
        with suppress(httpx.TransportError):
            answer = client.get(f"{url}/jobs/{job}/state")
            if answer.status_code == 200 and answer.json() in {"completed", "failed"}:
                return time.perf_counter() - began
        time.sleep(0.01)
    return None


def list_jobs(url: str, least: int) -> float:
    """Return the milliseconds of a list of all jobs, the median; there are *least* of them or more."""
    times: list[float] = []
    with httpx.Client(timeout=60) as client:
        while len(times) < 10:
            began = time.perf_counter()
            answer = client.get(f"{url}/jobs")
            if answer.status_code == 200:
                times.append((time.perf_counter() - began) * 1000)
                assert len(answer.json()) >= least
    return sorted(times)[len(times) // 2]


def many_jobs(url: str, count: int) -> float:
    """Run *count* times `true` at once, as well as it can; returns jobs per second, of those that ended."""
    began = time.perf_counter()
    with httpx.Client(timeout=60) as client:
        jobs = [_submit(client, url) for _ in range(count)]
        open_jobs, last = [job for job in jobs if job], time.perf_counter()
        while open_jobs and time.perf_counter() - last < 10:
            job = open_jobs.pop(0)
            if _has_ended(client, url, job):
                last = time.perf_counter()
            else:
                open_jobs.append(job)
                time.sleep(0.02)
    return (count - len(open_jobs)) / (last - began)


def _submit(client: httpx.Client, url: str) -> str:
    with suppress(httpx.TransportError):
        answer = client.post(f"{url}/jobs", json={"script": "true"})
        return str(answer.json()) if answer.status_code == 200 else ""
    return ""


def _has_ended(client: httpx.Client, url: str, job: str) -> bool:
    with suppress(httpx.TransportError):
        answer = client.get(f"{url}/jobs/{job}/state")
        return answer.status_code == 200 and answer.json() in {"completed", "failed"}
    return False
